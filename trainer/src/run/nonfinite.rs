//! Seeds whose numbers stay NaN or infinite.

use super::trainer::Trainer;
use kasmina::Command;
use kasmina::lifecycle::Stage;
use kasmina::model::SlotInputs;
use kasmina_records::CommandRow;
use std::collections::BTreeMap;

impl Trainer<'_> {
    /// Removes the seeds that have been unhealthy for too long.
    pub(super) fn prune_unhealthy(
        &mut self,
        epoch: u32,
        raw: &BTreeMap<String, SlotInputs>,
    ) -> Vec<CommandRow> {
        let limit = self.config.growth.max_unhealthy_epochs;
        let mut failing = BTreeMap::new();
        for report in self.training.model.reports() {
            let Some(seed_id) = report.seed_id else { continue };
            let unhealthy = raw.get(&report.slot).is_some_and(|given| given.healthy == Some(false));
            // Nothing leads away from a fossil.
            if unhealthy && report.stage != Stage::Fossilized {
                let before = self.health.unhealthy.get(&report.slot).filter(|(seed, _)| *seed == seed_id);
                failing.insert(report.slot, (seed_id, before.map_or(0, |(_, epochs)| *epochs) + 1));
            }
        }
        self.health.unhealthy = failing;
        if limit == 0 {
            return Vec::new();
        }
        let due = self.health.unhealthy.iter().filter(|(_, (_, epochs))| *epochs >= limit);
        let slots: Vec<String> = due.map(|(slot, _)| slot.clone()).collect();
        slots
            .into_iter()
            .map(|slot| {
                let command = Command::Prune { slot, reason: "unhealthy".to_owned() };
                let result = self.execute(&command);
                // Whoever gives the run's commands again has this policy too.
                self.noted(epoch, command, true, result)
            })
            .collect()
    }
}
