//! Pruning of seeds whose values stay NaN or infinite.

use super::trainer::Trainer;
use kasmina::Command;
use kasmina::lifecycle::Stage;
use kasmina::model::SlotInputs;
use kasmina_records::CommandRow;
use std::collections::BTreeMap;

impl Trainer<'_> {
    /// Prunes the seeds that were unhealthy for `growth.max_unhealthy_epochs` consecutive epochs.
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
            // A fossilized seed cannot be pruned.
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
                // Marked as landed: a scripted run has this policy too.
                self.record_command(epoch, command, true, result)
            })
            .collect()
    }
}
