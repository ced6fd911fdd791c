//! Forcing the alpha of a slot temporarily, for experiments.
//!
//! To measure the contribution of a seed, use
//! [`forward_counterfactual`](MorphogeneticModel::forward_counterfactual), which changes nothing in the
//! model.

use super::growth::{Question, Transaction, subject_text};
use super::{CommandError, MorphogeneticModel};
use crate::consensus::Action;
use crate::lifecycle::{Refusal, RefusalCode};
use std::ops::{Deref, DerefMut};

/// Guard that dereferences to the model while one slot's alpha is forced. Dropping it ends the forcing.
#[derive(Debug)]
#[must_use = "dropping the guard ends the forcing of alpha"]
pub struct ForcedAlpha<'m> {
    model: &'m mut MorphogeneticModel,
    index: usize,
    before: Option<f64>,
}

impl MorphogeneticModel {
    /// Forces a slot's alpha in every forward while the returned guard lives.
    ///
    /// The lifecycle is not affected: gates and ramps use its own alpha. Guards nest. A slot without an
    /// active seed still passes its features through unchanged.
    ///
    /// With several ranks every rank must call this at the same step; otherwise the ranks would train
    /// different networks.
    ///
    /// # Errors
    /// `non_finite` or `out_of_range` if `alpha` is not in `0..=1`, `unknown_slot`, or an error of the vote.
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
        let question =
            Question { action: Action::ForceAlpha, subject: subject_text(&alpha), new_seed_id: None };
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
