//! Seeds that the configuration puts in whole.

use super::{CommandRow, RunDir, Trainer};
use crate::error::TrainError;
use kasmina::Command;

impl Trainer<'_> {
    /// What is put in before the first step.
    pub(super) fn begin(&mut self, dir: Option<&mut RunDir>) -> Result<(), TrainError> {
        let commands = self.plant(0)?;
        if commands.is_empty() {
            return Ok(());
        }
        self.pace()?;
        let events = self.model.drain_events();
        self.tally.count(&events);
        self.tally.living(&self.model);
        dir.map_or(Ok(()), |dir| dir.begin(&events, &commands))
    }

    /// Puts in what the configuration wants whole at the end of an epoch.
    pub(super) fn plant(&mut self, epoch: u32) -> Result<Vec<CommandRow>, TrainError> {
        if self.config.disable_seeds {
            return Ok(Vec::new());
        }
        let mut rows = Vec::new();
        for wish in self.config.plants(epoch) {
            let command = Command::Germinate(wish);
            let done = self.model.execute(&command, self.registry, &mut self.optimizer)?;
            // No wish: whoever gives the run's commands again plants by its configuration too.
            rows.push(self.noted(epoch, command, true, Ok(done)));
        }
        Ok(rows)
    }
}
