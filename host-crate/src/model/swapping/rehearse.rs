//! Rehearsing a step of a trial before the ranks begin it together, because a rank whose build fails in the middle
//! of a step would leave the others waiting.

use crate::consensus::ConsensusError;
use crate::graft::Pass;
use crate::model::{ModelError, MorphogeneticModel};
use kasmina_plugin_api::Mode;
use kasmina_torch_ext::rng::RngFork;
use tch::Tensor;

impl MorphogeneticModel {
    /// Runs the forward of a step alone on every rank, if a build is on trial under several ranks, and undoes what
    /// it has changed. If it fails on a rank, every rank returns an error, from which it can
    /// [`recover`](Self::recover).
    ///
    /// # Shapes
    /// `x`: as for [`forward`](Self::forward).
    ///
    /// # Errors
    /// If the forward fails on a rank, or a rank is lost.
    pub(in crate::model) fn rehearse_trial_step(&mut self, x: &Tensor) -> Result<(), ModelError> {
        if self.consensus.ranks() == 1 || !self.is_on_trial() {
            return Ok(());
        }
        let rehearsed = self.rehearse(x);
        self.agree_that_it_worked(rehearsed.is_ok())?;
        rehearsed
    }

    fn rehearse(&mut self, x: &Tensor) -> Result<(), ModelError> {
        let _no_grad = tch::no_grad_guard();
        let _fork = RngFork::here()?;
        let step = self.telemetry.step();
        let pass = Pass { mode: Mode::Train, step, watch: false, overrides: &[], detached: None };
        let output = self.pass(x, pass).map(drop);
        if let Some(begin) = self.swapping.on_trial.as_ref().and_then(|trial| trial.before.as_ref()) {
            begin.snapshot.restore(&mut self.slots, |_| false)?;
            let _ = self.slots.split_off(&begin.marks);
        }
        output
    }

    /// Tells all ranks whether something has worked on this one. If it has worked here but failed on another rank,
    /// returns an error, from which the model can [`recover`](Self::recover) during a trial, as the other rank can
    /// from its own.
    ///
    /// # Errors
    /// If it has failed on another rank, or a rank is lost.
    pub fn agree_that_it_worked(&mut self, here: bool) -> Result<(), ModelError> {
        if self.consensus.ranks() == 1 {
            return Ok(());
        }
        let failed = self.consensus.refusals(here)?;
        if failed.is_empty() || !here {
            return Ok(());
        }
        self.swapping.failed_elsewhere.clone_from(&failed);
        Err(ConsensusError::Unable(failed).into())
    }
}
