//! Handling of requests to a live run, and of new builds of its plugins, between two steps.

use super::trainer::Trainer;
use crate::control::{ControlMessage, Reply, Request};
use crate::error::TrainError;
use kasmina_records::LiveAct;
use serde_json::json;
use std::sync::atomic::{AtomicBool, Ordering};

impl Trainer<'_> {
    /// Handles the messages since the last step. In a resumed run, first repeats the acts that were done at
    /// this step before the interruption.
    ///
    /// # Errors
    /// If a rank is lost.
    pub(super) fn answer_requests(&mut self, stop: &AtomicBool) -> Result<(), TrainError> {
        self.repeat_acts();
        while let Some(message) = self.queue.next(stop) {
            match message {
                ControlMessage::Build(path, staged, reply) if self.ranks.is_some() => {
                    self.queue.builds.push_back((path, *staged, reply));
                }
                ControlMessage::Build(path, staged, reply) => {
                    let done = self.swap(&path, *staged);
                    if let Some(reply) = reply {
                        let _ = reply.send(done);
                    }
                }
                ControlMessage::Request(Request::Prune { .. }, reply) if self.config.disable_seeds => {
                    let _ = reply.send(Reply::Refused {
                        error: "the run has no seeds: disable_seeds is set".to_owned(),
                        help: None,
                    });
                }
                ControlMessage::Request(Request::Prune { slot }, reply) if self.ranks.is_some() => {
                    self.queue.wanted.push_back((slot, reply));
                }
                ControlMessage::Request(Request::Pause, reply) if self.ranks.is_some() => {
                    let _ = reply.send(Reply::Refused {
                        error: "a run on several ranks cannot pause".to_owned(),
                        help: Some("stop it, and resume it later".to_owned()),
                    });
                }
                ControlMessage::Request(Request::Prune { slot }, reply) => {
                    self.write_ahead(LiveAct::Prune { slot: slot.clone() });
                    self.queue.add_prune(slot, Some(reply));
                }
                ControlMessage::Request(request, reply) => {
                    let _ = reply.send(self.answer(&request, stop));
                }
            }
        }
        self.meet(stop)
    }

    fn answer(&mut self, request: &Request, stop: &AtomicBool) -> Reply {
        match request {
            Request::Status => Reply::Done(self.status()),
            Request::Pause => {
                self.queue.set_paused(true);
                Reply::Done(json!({ "paused": true, "step": self.training.model.step() }))
            }
            Request::Resume => {
                self.queue.set_paused(false);
                Reply::Done(json!({ "paused": false, "step": self.training.model.step() }))
            }
            Request::Stop => {
                stop.store(true, Ordering::Relaxed);
                Reply::Done(json!({ "stopping": true, "step": self.training.model.step() }))
            }
            Request::Swap { .. } | Request::Prune { .. } => Reply::Refused {
                error: "`swap` and `prune` are handled elsewhere; this is a bug".to_owned(),
                help: None,
            },
        }
    }

    fn status(&self) -> serde_json::Value {
        let build = |plugin: &kasmina_registry::PluginInfo| {
            json!({
                "name": plugin.name, "version": plugin.version, "generation": plugin.generation(),
                "trust": plugin.trust, "path": plugin.path,
            })
        };
        let slots = self.training.model.slots().iter().zip(self.training.model.reports()).map(|(slot, report)| {
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
        // Every build that this process has ever opened stays mapped.
        let mapped = kasmina_registry::mappings()
            .into_iter()
            .map(|m| json!({ "name": m.name, "sha256": m.sha256, "address": format!("{:#x}", m.address) }));
        json!({
            "epoch": self.tally.epoch_in_training(),
            "epochs": self.config.epochs,
            "step": self.training.model.step(),
            "accuracy": self.tally.accuracy(),
            "paused": self.queue.is_paused(),
            "checkpoint": self.saver.as_ref().map(|saver| json!({
                "newest": saver.newest().map(|saved| json!({
                    "path": saved.written.path,
                    "epoch": saved.written.about.epoch,
                    "step": saved.written.about.step,
                    "bytes": saved.written.bytes,
                    "written": saved.written.about.written,
                })),
                "stopped": saver.stopped(),
                "longest_stall_ms": saver.longest_stall().as_secs_f64() * 1e3,
            })),
            "on_trial": self.training.model.is_on_trial(),
            "slots": slots.collect::<Vec<_>>(),
            "mapped": mapped.collect::<Vec<_>>(),
            "loaded": self.registry.plugins().iter().map(|p| build(p)).collect::<Vec<_>>(),
            "retired": self.registry.retired().iter().map(|p| build(p)).collect::<Vec<_>>(),
        })
    }
}
