//! Going back to a checkpoint in the middle of a run.

use super::builds::Builds;
use super::open::newest;
use crate::config::OnNonFinite;
use crate::error::TrainError;
use crate::run::trainer::Trainer;
use kasmina_registry::stored;

impl Trainer<'_> {
    /// Deals with a host that has become NaN or infinite in an epoch: the run goes back to the newest whole checkpoint from
    /// before that epoch, once.
    ///
    /// # Errors
    /// If the configuration wants the run to end, nothing is saved, or it is the second time.
    pub(crate) fn go_back(&mut self, epoch: u32, first_step: u64, loss: f64) -> Result<(), TrainError> {
        let ends = |again| Err(TrainError::NonFinite { epoch, loss, again });
        if self.config.on_nonfinite == OnNonFinite::Stop || self.saver.is_none() {
            return ends("");
        }
        if self.health.rolled_back {
            return ends(", again after going back to a checkpoint");
        }
        let Some(run) = self.dir.as_ref().map(|dir| dir.path().to_owned()) else { return ends("") };
        if let Some(saver) = &mut self.saver {
            saver.settle();
        }
        let (checkpoint, state) = newest(&run, Some(first_step))?;
        let builds = Builds::new(self.registry, run.join(stored::FOLDER));
        builds.restore(&state)?;
        self.give_back(&state, &checkpoint, &builds)?;
        self.training.stepper.forget();
        if let Some(dir) = &mut self.dir {
            dir.cut(state.journals)?;
        }
        self.health.rolled_back = true;
        tracing::warn!(
            epoch,
            "the host's numbers were not finite, and no seed is to blame: the run goes back to {}",
            checkpoint.path.display()
        );
        Ok(())
    }
}
