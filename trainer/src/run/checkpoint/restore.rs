//! Restoring the state of every part of a resumed run.

use super::builds::Builds;
use super::environment::Environment;
use super::files::{HOST_MODULE, INITIAL_WEIGHTS, file_hashes};
use super::open::Opened;
use super::place::Place;
use super::rank_state::{self, LOSS_SUM};
use super::restored::Restored;
use super::staging::tensors_of;
use super::state::RunState;
use crate::config::{InitConfig, RunConfig};
use crate::controller::{self, Controller};
use crate::error::TrainError;
use crate::run::live_journal::Repeats;
use crate::run::trainer::Trainer;
use kasmina::state::{RestoredTensors, StateError};
use kasmina_checkpoint::Checkpoint;
use kasmina_records::LiveAct;
use kasmina_registry::{Refusal, Registry, RegistryError, Rule, services};
use kasmina_torch_ext::rng::RngState;
use std::collections::BTreeMap;
use tch::Tensor;

impl<'r> Trainer<'r> {
    /// Prepares a resumed run: builds the model and restores the state of every part. Writes nothing. The
    /// registry's policy must accept the copies of plugins in [`Opened::run`].
    ///
    /// # Errors
    /// If a plugin, the data or a tensor differs from the checkpoint; the message says which.
    pub fn resume(opened: Opened, registry: &'r Registry) -> Result<Self, TrainError> {
        let controller = controller::make(&opened.config)?;
        Self::resume_with(opened, registry, controller)
    }

    /// As [`resume`](Self::resume), but with a controller of the caller.
    ///
    /// # Errors
    /// As for [`resume`](Self::resume), or if the controller differs from the checkpoint's without a change
    /// of the setting `controller`.
    pub fn resume_with(
        opened: Opened,
        registry: &'r Registry,
        mut controller: Box<dyn Controller>,
    ) -> Result<Self, TrainError> {
        let wrong = |reason: String| TrainError::Resume { path: opened.checkpoint.path.clone(), reason };
        let state = &opened.state;
        if controller.id() != state.controller.id && controller.id() == opened.state.config.controller {
            return Err(wrong(format!("its controller is `{}`", state.controller.id)));
        }
        if controller.id() == state.controller.id {
            controller
                .restore(&state.controller.state)
                .map_err(|e| wrong(format!("controller `{}`: {e}", state.controller.id)))?;
        }
        refuse_other_files(&opened, registry, &wrong)?;
        let builds = Builds::new(registry, opened.stored_plugins());
        builds.restore(state)?;
        builds.make_current(state, &state.model.host.entry)?;
        // The checkpoint has the weights, so those that the run began with need not exist any more.
        let random = RunConfig { init: InitConfig::default(), ..opened.config.clone() };
        let mut trainer = Self::build(random, registry, controller)?;
        trainer.config.init = opened.config.init.clone();
        // The host may belong to an earlier build than later germinations, so the current builds are restored
        // again.
        builds.restore(state)?;
        trainer.refuse_other_inputs(state, &wrong)?;
        for change in Environment::now(trainer.training.model.device(), trainer.config.threads)
            .changes_since(&state.environment)
        {
            tracing::warn!("results may not be bit-identical to an uninterrupted run: {change}");
        }
        trainer.restore_state(&opened.state, &opened.checkpoint, &builds, opened.place)?;
        let Opened { state, checkpoint, run, target, is_branch, lock, resume, begun, .. } = opened;
        if !is_branch {
            trainer.progress.repeats = Repeats::read(&run, checkpoint.about.step, state.acts_done)?;
            trainer.open_repeated_builds(&builds)?;
        }
        trainer.progress.restored = Some(Restored {
            run,
            target,
            lengths: state.journals,
            lock,
            resume,
            step: checkpoint.about.step,
            checkpoint,
            begun,
        });
        Ok(trainer)
    }

    /// Refuses data and files that differ from those of the checkpoint.
    fn refuse_other_inputs(
        &mut self,
        state: &RunState,
        wrong: &dyn Fn(String) -> TrainError,
    ) -> Result<(), TrainError> {
        if self.progress.inputs.is_empty() && !state.inputs.is_empty() {
            self.progress.inputs = self.input_hashes()?;
        }
        for (what, then) in &state.inputs {
            if what == INITIAL_WEIGHTS {
                self.progress.inputs.insert(what.clone(), then.clone());
                continue;
            }
            match self.progress.inputs.get(what) {
                Some(now) if now == then => {}
                Some(_) => {
                    return Err(wrong(format!("the {what} has changed since the checkpoint was written")));
                }
                None => return Err(wrong(format!("the {what} is missing"))),
            }
        }
        Ok(())
    }

    /// Restores the state of every part.
    pub(super) fn restore_state(
        &mut self,
        state: &RunState,
        checkpoint: &Checkpoint,
        builds: &Builds<'_>,
        place: Place,
    ) -> Result<(), TrainError> {
        let unfit =
            |error: StateError| TrainError::State { path: checkpoint.path.clone(), error: error.into() };
        let mut tensors = RestoredTensors {
            model: tensors_of(&checkpoint.model)?,
            training: tensors_of(&checkpoint.training)?,
        };
        self.progress.own_state = rank_state::choose(&mut tensors.training, place);
        let resolve = |kind, name: &kasmina::state::EntryName| builds.resolve(kind, name);
        let training = &mut self.training;
        training
            .model
            .restore(&state.model, &mut tensors, &resolve, self.registry, &mut training.optimizer)
            .map_err(unfit)?;
        let sum = take(&mut tensors.training, LOSS_SUM).map_err(unfit)?;
        training.loss_sum.f_copy_(&sum)?;
        let generators =
            RngState::save()?.replaced(|name| tensors.training.remove(&format!("generators.{name}")));
        // The checkpoint may contain generators of GPUs that this machine lacks; the run does not draw from
        // them.
        tensors.training.retain(|name, _| !RngState::is_of_gpu(name.rsplit('.').next().unwrap_or_default()));
        tensors.finish().map_err(unfit)?;
        let mut optimizer = tensors_of(&checkpoint.optimizer)?;
        training.optimizer.take_over(&state.optimizer, &mut optimizer).map_err(|e| unfit(e.into()))?;
        RestoredTensors { model: optimizer, ..RestoredTensors::default() }.finish().map_err(unfit)?;

        self.progress.position = state.position;
        self.progress.set_acts(state.model.step, state.acts_done);
        self.progress.generators = (state.position.samples > 0).then_some(generators);
        self.progress.seconds = state.seconds;
        self.tally = state.tally.clone();
        self.health = state.health.clone();
        self.shown_events = self.training.model.events().len();
        for slot in &state.asked_prunes {
            self.queue.add_prune(slot.clone(), None);
        }
        services::put_metrics(state.plugin_metrics.clone());
        Ok(())
    }

    /// Opens the builds that will be swapped in again, so that a refusal is an error at the start.
    pub(super) fn open_repeated_builds(&mut self, builds: &Builds<'_>) -> Result<(), TrainError> {
        let rows: Vec<LiveAct> = self.progress.repeats.acts().cloned().collect();
        for act in rows {
            if let LiveAct::Swap { plugin, sha256, .. } = act {
                let staged = builds.open(&plugin, &sha256)?;
                self.progress.repeats.add_build(sha256, staged);
            }
        }
        Ok(())
    }
}

/// Refuses a script or host module that was altered, and a host module that this user has not run before.
/// Must be called before torch reads the module.
fn refuse_other_files(
    opened: &Opened,
    registry: &Registry,
    wrong: &dyn Fn(String) -> TrainError,
) -> Result<(), TrainError> {
    for (what, sha256) in file_hashes(&opened.config) {
        match opened.state.inputs.get(what) {
            Some(then) if *then == sha256 => {}
            Some(_) => return Err(wrong(format!("the {what} has changed since the checkpoint was written"))),
            // The file is new, by an override.
            None => {}
        }
        if what == HOST_MODULE && !registry.policy().vouches_for(&sha256) {
            let path = opened.config.host.config.get("module").and_then(|path| path.as_str());
            let refusal = Refusal {
                path: path.unwrap_or_default().into(),
                rule: Rule::Trust,
                found: "it is the host module of a run directory, and you have not run it before".to_owned(),
                remedy: "if you know where the run directory comes from, pass --trust-run".to_owned(),
            };
            return Err(RegistryError::from(refusal).into());
        }
    }
    Ok(())
}

fn take(tensors: &mut BTreeMap<String, Tensor>, name: &str) -> Result<Tensor, StateError> {
    tensors.remove(name).ok_or_else(|| StateError::MissingTensor { name: name.to_owned() })
}
