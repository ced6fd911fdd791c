//! Going back to a checkpoint during a run.

use super::builds::Builds;
use super::open::newest_finite_before;
use crate::config::OnNonFinite;
use crate::error::TrainError;
use crate::run::live_journal::Repeats;
use crate::run::trainer::Trainer;
use kasmina_registry::stored;

impl Trainer<'_> {
    /// Restores the newest checkpoint at the end of an epoch before `epoch` whose loss was finite, because
    /// the host's outputs are NaN or infinite in `epoch`. A run does this once.
    ///
    /// # Errors
    /// If the configuration ends the run in this case, there is no such checkpoint, or it is the second time.
    pub(crate) fn go_back(&mut self, epoch: u32, loss: f64) -> Result<(), TrainError> {
        let ends = |again| Err(TrainError::NonFinite { epoch, loss, again });
        let saves = self.ranks.is_some() && self.config.checkpoint.enabled || self.saver.is_some();
        if self.config.on_nonfinite == OnNonFinite::Stop || !saves {
            return ends("");
        }
        if self.health.rolled_back {
            return ends(", again after going back to a checkpoint");
        }
        let own = self.dir.as_ref().map(|dir| dir.path().to_owned());
        let Some(run) = own.or_else(|| self.ranks.as_ref()?.run.clone()) else { return ends("") };
        if let Some(saver) = &mut self.saver {
            saver.wait_for_writes();
        }
        self.wait_for_ranks()?;
        let Some((checkpoint, state)) = newest_finite_before(&run, epoch)? else { return ends("") };
        let builds = Builds::new(self.registry, run.join(stored::FOLDER));
        builds.restore(&state)?;
        self.controller.restore(&state.controller.state).map_err(|reason| TrainError::Resume {
            path: checkpoint.path.clone(),
            reason: format!("controller `{}`: {reason}", state.controller.id),
        })?;
        // Dropping the pending prunes of the abandoned epoch sends an error to the clients that wait for
        // them.
        drop(self.queue.take_prunes());
        self.restore_state(&state, &checkpoint, &builds, self.place())?;
        if !self.progress.own_state {
            self.training.model.renew_streams()?;
        }
        self.training.stepper.forget();
        self.progress.repeats = Repeats::read(&run, checkpoint.about.step, state.acts_done)?;
        self.open_repeated_builds(&builds)?;
        self.begin_clock();
        self.wait_for_ranks()?;
        if self.is_first_rank() {
            kasmina_checkpoint::remove_newer(&checkpoint.path)?;
        }
        if let Some(dir) = &mut self.dir {
            dir.truncate(state.journals)?;
        }
        self.health.rolled_back = true;
        tracing::warn!(
            epoch,
            "the host's outputs were not finite, and no seed is the cause: the run goes back to {}",
            checkpoint.path.display()
        );
        self.save(false)
    }
}
