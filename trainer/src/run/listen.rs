//! What a live run does about what it is brought, between two steps.

use super::Trainer;
use crate::control::{Brought, Reply, Request};
use crate::error::TrainError;
use kasmina::Command;
use kasmina::model::Recovered;
use kasmina_registry::{RegistryError, Staged};
use serde_json::json;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::Duration;

/// How often a paused run looks whether it was asked to stop.
const LOOK: Duration = Duration::from_millis(100);
/// Failures in one step that are dealt with. Each takes something away that failed; more is a fault of ours.
const RECOVERIES: u32 = 8;

/// The training thread's end.
#[derive(Default)]
pub(super) struct Ear {
    brought: Option<Receiver<Brought>>,
    /// Prunes that wait for the end of the epoch.
    prunes: Vec<(String, Sender<Reply>)>,
    paused: bool,
    /// Where the run stands, for whoever asks.
    pub(super) epoch: u32,
    pub(super) accuracy: Option<f64>,
}

impl Ear {
    pub(super) fn listen(&mut self, brought: Receiver<Brought>) {
        self.brought = Some(brought);
    }

    /// The next thing brought, if there is one; a paused run waits for it.
    fn next(&mut self, stop: &AtomicBool) -> Option<Brought> {
        let receiver = self.brought.as_ref()?;
        loop {
            if !self.paused || stop.load(Ordering::Relaxed) {
                return receiver.try_recv().ok();
            }
            match receiver.recv_timeout(LOOK) {
                Ok(brought) => return Some(brought),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return None,
            }
        }
    }
}

impl Trainer<'_> {
    /// Does what it was asked since the last step.
    pub(super) fn listen(&mut self, stop: &AtomicBool) {
        while let Some(brought) = self.ear.next(stop) {
            match brought {
                Brought::Built(path, staged, reply) => {
                    let done = self.swap(&path, *staged);
                    if let Some(reply) = reply {
                        let _ = reply.send(done);
                    }
                }
                Brought::Asked(Request::Prune { slot }, reply) => self.ear.prunes.push((slot, reply)),
                Brought::Asked(request, reply) => {
                    let _ = reply.send(self.asked(&request, stop));
                }
            }
        }
    }

    fn asked(&mut self, request: &Request, stop: &AtomicBool) -> Reply {
        match request {
            Request::Status => Reply::Done(self.status()),
            Request::Pause => {
                self.ear.paused = true;
                Reply::Done(json!({ "paused": true, "step": self.model.step() }))
            }
            Request::Resume => {
                self.ear.paused = false;
                Reply::Done(json!({ "paused": false, "step": self.model.step() }))
            }
            Request::Stop => {
                stop.store(true, Ordering::Relaxed);
                Reply::Done(json!({ "stopping": true, "step": self.model.step() }))
            }
            Request::Swap { .. } | Request::Prune { .. } => {
                Reply::Refused { error: "that is not for this thread".to_owned(), help: None }
            }
        }
    }

    fn status(&self) -> serde_json::Value {
        let build = |plugin: &kasmina_registry::PluginInfo| {
            json!({
                "name": plugin.name, "version": plugin.version, "generation": plugin.generation(),
                "trust": plugin.trust, "path": plugin.path,
            })
        };
        let slots = self.model.slots().iter().zip(self.model.reports()).map(|(slot, report)| {
            let entries = slot.entries().map(|(blueprint, blend)| {
                json!({
                    "blueprint": blueprint.full_name(), "blueprint_generation": blueprint.plugin().generation(),
                    "blend": blend.full_name(), "blend_generation": blend.plugin().generation(),
                })
            });
            json!({
                "slot": report.slot, "stage": report.stage, "alpha": report.alpha, "seed_id": report.seed_id,
                "entries": entries,
            })
        });
        // Every build that was ever opened here is still mapped, whatever has become of it.
        let mapped = kasmina_registry::mappings()
            .into_iter()
            .map(|m| json!({ "name": m.name, "sha256": m.sha256, "address": format!("{:#x}", m.address) }));
        json!({
            "epoch": self.ear.epoch,
            "epochs": self.config.epochs,
            "step": self.model.step(),
            "accuracy": self.ear.accuracy,
            "paused": self.ear.paused,
            "on_trial": self.model.is_on_trial(),
            "slots": slots.collect::<Vec<_>>(),
            "mapped": mapped.collect::<Vec<_>>(),
            "loaded": self.registry.plugins().iter().map(|p| build(p)).collect::<Vec<_>>(),
            "retired": self.registry.retired().iter().map(|p| build(p)).collect::<Vec<_>>(),
        })
    }

    /// Takes a build in, or says why not; either way it is an event.
    fn swap(&mut self, path: &Path, staged: Result<Staged, RegistryError>) -> Reply {
        let refused = |trainer: &mut Self, rule: &str, error: String, help: Option<String>| {
            tracing::warn!("{error}");
            trainer.model.note_refused(&path.display().to_string(), rule, &error);
            Reply::Refused { error, help }
        };
        let staged = match staged {
            Ok(staged) => staged,
            Err(error) => {
                let rule = match &error {
                    RegistryError::Refused(refusal) => refusal.rule.as_str(),
                    _ => "registry",
                };
                return refused(self, rule, error.to_string(), error.help());
            }
        };
        match self.model.adopt(&staged, self.registry, &mut self.optimizer) {
            Ok(slots) => Reply::Done(json!({
                "plugin": staged.plugin().name,
                "generation": staged.plugin().generation(),
                "step": self.model.step(),
                "slots": slots,
                "on_trial": self.model.is_on_trial(),
            })),
            Err(error) => {
                let text = format!("{} is not taken: {error}", path.display());
                refused(self, error.code(), text, Some("the build before it goes on".to_owned()))
            }
        }
    }

    /// Does something that a plugin may fail in, again after each failure that the model can deal with.
    pub(super) fn recovering<T, E: Into<TrainError>>(
        &mut self,
        mut body: impl FnMut(&mut Self) -> Result<T, E>,
    ) -> Result<T, TrainError> {
        for _ in 0..RECOVERIES {
            let error = match body(self) {
                Ok(value) => return Ok(value),
                Err(error) => error.into(),
            };
            let recovered = self.model.recover(self.registry, &mut self.optimizer).unwrap_or_else(|second| {
                tracing::error!("it could not be dealt with: {second}");
                None
            });
            match recovered {
                Some(Recovered::RolledBack { plugin, reason }) => {
                    tracing::warn!("{plugin} is rolled back: {reason}");
                }
                Some(_) => {}
                None => return Err(error),
            }
        }
        body(self).map_err(Into::into)
    }

    /// The prunes that were asked for since the last epoch.
    pub(super) fn asked_prunes(&mut self) -> Vec<(Command, Sender<Reply>)> {
        let prunes = std::mem::take(&mut self.ear.prunes);
        let reason = || "asked".to_owned();
        prunes.into_iter().map(|(slot, reply)| (Command::Prune { slot, reason: reason() }, reply)).collect()
    }
}
