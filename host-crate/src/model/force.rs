//! Alpha forced for a while: for looking at a network with a seed at another weight than its own.
//!
//! Where the question is what a seed is worth,
//! [`forward_counterfactual`](MorphogeneticModel::forward_counterfactual) answers it without touching
//! anything; a guard is for people and experiments.

use super::growth::{Question, Transaction, written};
use super::{CommandError, MorphogeneticModel};
use crate::consensus::Act;
use crate::lifecycle::{Refusal, RefusalCode};
use std::ops::{Deref, DerefMut};

/// The model, with one slot's alpha forced until this value is dropped, whatever way it is dropped.
#[derive(Debug)]
#[must_use = "alpha is the lifecycle's again when this value is dropped"]
pub struct ForcedAlpha<'m> {
    model: &'m mut MorphogeneticModel,
    index: usize,
    before: Option<f64>,
}

impl MorphogeneticModel {
    /// Forces a slot's alpha in every forward while the guard lives. The lifecycle knows nothing of it:
    /// gates, ramps and measurements go on from the alpha that they own. Guards nest. A slot whose seed is
    /// not active passes its features through unchanged.
    ///
    /// With several ranks every rank must ask for it, at the same step: forced on one rank alone, the ranks
    /// would train different networks.
    ///
    /// # Errors
    /// `non_finite` or `out_of_range` outside `0..=1`; an unknown slot; ranks that do not all take part.
    pub fn force_alpha(&mut self, slot: &str, alpha: f64) -> Result<ForcedAlpha<'_>, CommandError> {
        let index = match self.slots.index_of(slot) {
            Ok(index) => index,
            Err(error) => return Err(self.decline(slot, &alpha, error)),
        };
        let in_range = if (0.0..=1.0).contains(&alpha) {
            Ok(())
        } else {
            let code = if alpha.is_finite() { RefusalCode::OutOfRange } else { RefusalCode::NonFinite };
            Err(Refusal::new(code, format!("alpha is {alpha}; it must lie in 0..=1")).into())
        };
        let question = Question { act: Act::ForceAlpha, subject: written(&alpha), coming: None };
        self.vote(index, &question, in_range, &mut (), |()| Transaction::default())?;
        let before = self.slots[index].force_alpha(Some(alpha));
        Ok(ForcedAlpha { model: self, index, before })
    }
}

impl Drop for ForcedAlpha<'_> {
    fn drop(&mut self) {
        self.model.slots[self.index].force_alpha(self.before);
    }
}

impl Deref for ForcedAlpha<'_> {
    type Target = MorphogeneticModel;
    fn deref(&self) -> &MorphogeneticModel {
        self.model
    }
}

impl DerefMut for ForcedAlpha<'_> {
    fn deref_mut(&mut self) -> &mut MorphogeneticModel {
        self.model
    }
}
