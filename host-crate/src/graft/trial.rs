//! The trial of a blend from a newly swapped build.

use super::blend_part::BlendPart;
use crate::lifecycle::AlphaController;
use std::time::Duration;

/// Trial of a swapped blend.
#[derive(Debug)]
pub(crate) struct Trial {
    /// Number of training steps until the trial ends.
    pub(super) steps_left: u32,
    /// Longest permitted duration of one call.
    pub(super) budget: Duration,
    /// What a rollback restores.
    pub(super) before: Before,
}

/// The replaced blend, unchanged since the swap, and the alpha controller of that moment.
#[derive(Debug)]
pub(crate) struct Before {
    pub(super) blend: BlendPart,
    pub(super) alpha: AlphaController,
}
