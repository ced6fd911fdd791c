//! Executing the commands of the controller, of clients and of the configuration, and recording them.

use super::report::command_row;
use super::trainer::Trainer;
use crate::control::Reply;
use crate::controller::Observation;
use crate::error::TrainError;
use kasmina::lifecycle::RefusalCode;
use kasmina::model::Executed;
use kasmina::{Command, CommandError};
use kasmina_records::CommandRow;

impl Trainer<'_> {
    /// Executes the germinations that were prefetched during the epoch.
    pub(super) fn land_prefetched(&mut self, epoch: u32) -> Vec<CommandRow> {
        let landed = self.training.model.land(self.registry, &mut self.training.optimizer);
        landed
            .into_iter()
            .map(|(command, result)| self.record_command(epoch, command, true, result))
            .collect()
    }

    /// Executes the pending prunes of clients, then the commands of the controller. A refused command changes
    /// nothing and is recorded too.
    pub(super) fn execute_commands(&mut self, epoch: u32, accuracy: f64) -> Vec<CommandRow> {
        // `disable_seeds` trains the host alone, even with a script.
        if self.config.disable_seeds {
            return Vec::new();
        }
        let mut rows = Vec::new();
        for (slot, reply) in self.queue.take_prunes() {
            let command = Command::Prune { slot, reason: "asked".to_owned() };
            let result = self.execute(&command);
            let answer = match &result {
                Ok(_) => Reply::Done(serde_json::json!({ "pruned": command.slot(), "epoch": epoch })),
                Err(error) => Reply::Refused { error: error.to_string(), help: None },
            };
            rows.push(self.record_command(epoch, command, false, result));
            if let Some(reply) = reply {
                let _ = reply.send(answer);
            }
        }
        let reports = self.training.model.reports();
        let observation = Observation {
            epoch,
            max_epochs: self.config.epochs,
            accuracy,
            slots: &reports,
            germinated: self.tally.germinated(),
            host_parameters: self.training.model.host_parameter_count(),
        };
        for command in self.controller.decide(&observation) {
            let result = self.execute(&command);
            rows.push(self.record_command(epoch, command, false, result));
        }
        rows
    }

    /// Returns the journal's row of a command, and logs a refusal. `landed` marks commands that a script must
    /// not give again, because the run gives them by itself.
    pub(super) fn record_command(
        &self,
        epoch: u32,
        command: Command,
        landed: bool,
        result: Result<Executed, CommandError>,
    ) -> CommandRow {
        if let Err(error) = &result {
            // Gates often refuse a controller's commands; only other refusals deserve a warning.
            if error.code() == RefusalCode::GateFailed.as_str() {
                tracing::debug!(epoch, "refused: {error}");
            } else if matches!(command, Command::Germinate(_)) {
                tracing::warn!(
                    epoch,
                    "germination refused: {error} (docs/troubleshooting.md#{})",
                    error.code()
                );
            } else {
                tracing::warn!(epoch, "command refused: {error} (docs/troubleshooting.md#{})", error.code());
            }
        }
        let slot =
            command.slot().and_then(|name| self.training.model.slot(name)).map(|s| s.name().to_owned());
        command_row(epoch, command, slot, landed, result)
    }

    /// Germinates the preinstalled seeds that are due at the end of `epoch`.
    pub(super) fn preinstall(&mut self, epoch: u32) -> Result<Vec<CommandRow>, TrainError> {
        if self.config.disable_seeds {
            return Ok(Vec::new());
        }
        let mut rows = Vec::new();
        for germinate in self.config.preinstalled_at(epoch) {
            let command = Command::Germinate(germinate);
            let done = self.execute(&command)?;
            // Marked as landed: a scripted run has these seeds in its configuration.
            rows.push(self.record_command(epoch, command, true, Ok(done)));
        }
        Ok(rows)
    }

    pub(super) fn execute(&mut self, command: &Command) -> Result<Executed, CommandError> {
        self.training.model.execute(command, self.registry, &mut self.training.optimizer)
    }
}
