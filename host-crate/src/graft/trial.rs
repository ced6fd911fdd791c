//! The trial of a blend that was exchanged for another build's.

use super::blend_part::BlendPart;
use crate::lifecycle::AlphaController;
use std::time::Duration;

/// A blend that was exchanged and still has to prove itself.
#[derive(Debug)]
pub(crate) struct Trial {
    /// Training steps that it still has to hold.
    pub(super) steps_left: u32,
    /// What a call of it may take.
    pub(super) budget: Duration,
    /// Instances that the trial replaces.
    pub(super) before: Before,
}

/// A blend as it was when another took its place; its variables have not moved since.
#[derive(Debug)]
pub(crate) struct Before {
    pub(super) blend: BlendPart,
    pub(super) alpha: AlphaController,
}
