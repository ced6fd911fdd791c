//! The context of a call of a seed or blend.

use crate::services;

/// Whether the network trains or is evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Training: batch statistics, dropout.
    Train,
    /// Evaluation: running statistics, no dropout.
    Eval,
}

impl Mode {
    /// Whether this is [`Mode::Train`], for the `train` argument of torch's layers.
    pub const fn is_train(self) -> bool {
        matches!(self, Self::Train)
    }
}

/// Context of one call of a seed or blend.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Cx<'a> {
    mode: Mode,
    step: u64,
    slot: &'a str,
}

impl<'a> Cx<'a> {
    /// Creates a context. Plugins receive theirs from the caller; tests create their own.
    pub const fn new(mode: Mode, step: u64, slot: &'a str) -> Self {
        Self { mode, step, slot }
    }
    /// Whether the model trains or evaluates.
    pub const fn mode(&self) -> Mode {
        self.mode
    }
    /// Number of the training step, counted from 0.
    pub const fn step(&self) -> u64 {
        self.step
    }
    /// Name of the slot that contains the instance.
    pub const fn slot(&self) -> &'a str {
        self.slot
    }
    /// Whether the run is requested to stop. A long call should check this regularly and return an error.
    pub fn cancelled(&self) -> bool {
        services::cancelled()
    }
}
