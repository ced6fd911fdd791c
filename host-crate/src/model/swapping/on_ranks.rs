//! Failures under several ranks: a trial ends on all ranks or on none.
//!
//! A rank whose blend fails in the middle of a forward must not leave the others waiting for its part of a
//! sum. So the forward of a trial goes on with the host's features where a blend has failed, and after it the
//! ranks tell each other whether a call has failed.

use crate::consensus::ConsensusError;
use crate::graft::Fault;
use crate::model::{ModelError, MorphogeneticModel};
use kasmina_plugin_api::Mode;

impl MorphogeneticModel {
    /// Whether a forward goes on after a failed blend, because the ranks tell each other afterwards.
    pub(in crate::model) fn outlasts_failed_blends(&self, mode: Mode) -> bool {
        mode == Mode::Train && self.is_on_trial() && self.consensus.ranks() > 1
    }

    /// Tells the other ranks whether a call has failed in the forward that this rank has just run.
    ///
    /// # Errors
    /// If a call has failed on any rank, or a rank is lost.
    pub(in crate::model) fn agree_on_trial(&mut self, fault: Option<&Fault>) -> Result<(), ModelError> {
        self.agree_that_nothing_failed(fault.map(|fault| fault.error.to_string()).as_deref())
    }

    /// Tells all ranks what has failed on this one, if anything has. If something has failed on any rank,
    /// every rank returns an error, from which the model can [`recover`](Self::recover) during a trial.
    ///
    /// # Errors
    /// If something has failed on any rank, or a rank is lost.
    pub fn agree_that_nothing_failed(&mut self, here: Option<&str>) -> Result<(), ModelError> {
        if self.consensus.ranks() == 1 {
            return Ok(());
        }
        let all = self.consensus.exchange_bytes(here.unwrap_or_default().as_bytes())?;
        let Some((rank, text)) = all.iter().enumerate().find(|(_, text)| !text.is_empty()) else {
            return Ok(());
        };
        let failure = ConsensusError::Failed { rank, error: String::from_utf8_lossy(text).into_owned() };
        if self.is_on_trial() {
            self.swapping.failed_on_rank = Some(failure.to_string());
        }
        Err(failure.into())
    }
}
