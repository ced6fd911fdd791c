//! New builds of plugins for a live run, and everything that was done to it before an interruption, done
//! again.

use super::trainer::Trainer;
use crate::control::Reply;
use kasmina_records::{LiveAct, LiveRow};
use kasmina_registry::{RegistryError, Staged, stored};
use serde_json::json;
use std::path::Path;

impl Trainer<'_> {
    /// Takes a build in, or says why not; either way it is an event. It is written down before it acts.
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
                self.take_in(path, &staged)
            }
            Err(error) => {
                let rule = match &error {
                    RegistryError::Refused(refusal) => refusal.rule.as_str(),
                    _ => "registry",
                };
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

    /// Does again what was done to the live run at this step.
    pub(super) fn repeat(&mut self) {
        let step = self.training.model.step();
        while let Some(LiveRow { act, .. }) = self.progress.repeats.due(step) {
            self.progress.note_act(step);
            match act {
                LiveAct::Prune { slot } => self.queue.keep_prune(slot, None),
                LiveAct::Refused { path, rule, error } => drop(self.refuse(&path, &rule, error, None)),
                LiveAct::Swap { path, sha256, .. } => {
                    let staged = self.progress.repeats.build(&sha256).cloned();
                    if let Some(staged) = staged {
                        self.take_in(&path, &staged);
                    }
                }
            }
        }
    }

    fn take_in(&mut self, path: &Path, staged: &Staged) -> Reply {
        match self.training.model.adopt(staged, self.registry, &mut self.training.optimizer) {
            Ok(slots) => Reply::Done(json!({
                "plugin": staged.plugin().name,
                "generation": staged.plugin().generation(),
                "step": self.training.model.step(),
                "slots": slots,
                "on_trial": self.training.model.is_on_trial(),
            })),
            Err(error) => {
                let text = format!("{} is not taken: {error}", path.display());
                self.refuse(path, error.code(), text, Some("the build before it goes on".to_owned()))
            }
        }
    }

    fn refuse(&mut self, path: &Path, rule: &str, error: String, help: Option<String>) -> Reply {
        tracing::warn!("{error}");
        self.training.model.note_refused(&path.display().to_string(), rule, &error);
        Reply::Refused { error, help }
    }

    /// Keeps a copy of a build in the run directory: a run that goes on needs the bytes, whatever lies there
    /// by then.
    fn keep_build(&self, staged: &Staged) {
        let Some(dir) = self.dir.as_ref().filter(|_| self.saver.is_some()) else { return };
        let folder = dir.path().join(stored::FOLDER);
        if let Err(error) = stored::keep(staged.plugin(), &folder, self.registry.policy()) {
            tracing::warn!("no copy is kept of a build, a resume will need its file as it is: {error}");
        }
    }

    /// Writes down what is about to be done to the live run.
    pub(super) fn write_ahead(&mut self, act: LiveAct) {
        let step = self.training.model.step();
        self.progress.note_act(step);
        if let Some(dir) = &mut self.dir {
            dir.write_ahead(&LiveRow { step, act });
        }
    }
}
