//! Swapping new builds of plugins into a live run, and repeating such acts in a resumed run.

use super::trainer::Trainer;
use crate::control::Reply;
use kasmina_records::{LiveAct, LiveRow};
use kasmina_registry::{RegistryError, Staged, stored};
use serde_json::json;
use std::path::Path;

impl Trainer<'_> {
    /// Swaps a build in, or refuses it; both emit an event. The act is written to the journal before it is
    /// executed.
    pub(super) fn swap(&mut self, path: &Path, staged: Result<Staged, RegistryError>) -> Reply {
        match staged {
            Ok(staged) => {
                self.keep_build(&staged);
                let plugin = staged.plugin();
                self.write_ahead(LiveAct::Swap {
                    path: path.to_owned(),
                    plugin: plugin.name.clone(),
                    sha256: plugin.sha256.clone().unwrap_or_default(),
                });
                self.adopt(path, &staged)
            }
            Err(error) => {
                let rule = rule_of(&error);
                let (path, rule, text) = (path.to_owned(), rule.to_owned(), error.to_string());
                self.write_ahead(LiveAct::Refused {
                    path: path.clone(),
                    rule: rule.clone(),
                    error: text.clone(),
                });
                self.refuse(&path, &rule, text, error.help())
            }
        }
    }

    /// Repeats the acts that were done to the live run at this step before it was interrupted.
    pub(super) fn repeat_acts(&mut self) {
        let step = self.training.model.step();
        while let Some(LiveRow { act, .. }) = self.progress.repeats.due(step) {
            self.progress.count_act(step);
            match act {
                LiveAct::Prune { slot } => self.queue.add_prune(slot, None),
                LiveAct::Refused { path, rule, error } => drop(self.refuse(&path, &rule, error, None)),
                LiveAct::Swap { path, sha256, .. } => {
                    let staged = self.progress.repeats.build(&sha256).cloned();
                    if let Some(staged) = staged {
                        self.adopt(&path, &staged);
                    }
                }
            }
        }
    }

    /// Adopts a build into the model and returns the reply.
    pub(super) fn adopt(&mut self, path: &Path, staged: &Staged) -> Reply {
        match self.training.model.adopt(staged, self.registry, &mut self.training.optimizer) {
            Ok(slots) => Reply::Done(json!({
                "plugin": staged.plugin().name,
                "generation": staged.plugin().generation(),
                "step": self.training.model.step(),
                "slots": slots,
                "on_trial": self.training.model.is_on_trial(),
            })),
            Err(error) => {
                let text = format!("refused {}: {error}", path.display());
                self.refuse(path, error.code(), text, Some("the run keeps the previous build".to_owned()))
            }
        }
    }

    /// Logs the refusal of a build, emits its event and returns the reply.
    pub(super) fn refuse(&mut self, path: &Path, rule: &str, error: String, help: Option<String>) -> Reply {
        tracing::warn!("{error}");
        self.training.model.note_refused(&path.display().to_string(), rule, &error);
        Reply::Refused { error, help }
    }

    /// Stores a copy of a build in the run directory, because a resumed run needs its bytes, and its file may
    /// have changed by then.
    pub(super) fn keep_build(&self, staged: &Staged) {
        let Some(dir) = self.dir.as_ref().filter(|_| self.saver.is_some()) else { return };
        let folder = dir.path().join(stored::FOLDER);
        if let Err(error) = stored::keep(staged.plugin(), &folder, self.registry.policy()) {
            tracing::warn!(
                "no copy of a swapped build can be stored; resuming will need its file unchanged: {error}"
            );
        }
    }

    /// Writes an act on the live run to the journal before it is executed.
    pub(super) fn write_ahead(&mut self, act: LiveAct) {
        let step = self.training.model.step();
        self.progress.count_act(step);
        if let Some(dir) = &mut self.dir {
            dir.write_ahead(&LiveRow { step, act });
        }
    }
}

/// Returns the name of the rule that refuses a build.
pub(super) fn rule_of(error: &RegistryError) -> &'static str {
    match error {
        RegistryError::Refused(refusal) => refusal.rule.as_str(),
        _ => "registry",
    }
}
