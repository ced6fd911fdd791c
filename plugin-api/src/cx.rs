//! What a call knows of the training it happens in.

use crate::services;

/// Whether the network is learning or being measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Training: batch statistics, dropout.
    Train,
    /// Evaluation: running statistics, no dropout.
    Eval,
}

impl Mode {
    /// As torch's layers take it.
    pub const fn is_train(self) -> bool {
        matches!(self, Self::Train)
    }
}

/// The context of one call.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Cx<'a> {
    mode: Mode,
    step: u64,
    slot: &'a str,
}

impl<'a> Cx<'a> {
    /// A context; authors get theirs from the core, tests make their own.
    pub const fn new(mode: Mode, step: u64, slot: &'a str) -> Self {
        Self { mode, step, slot }
    }
    /// Whether the model trains or evaluates.
    pub const fn mode(&self) -> Mode {
        self.mode
    }
    /// The training step, counted from 0.
    pub const fn step(&self) -> u64 {
        self.step
    }
    /// The slot that the instance lives in.
    pub const fn slot(&self) -> &'a str {
        self.slot
    }
    /// Whether the run was asked to stop; long calls look now and then and return an error.
    pub fn cancelled(&self) -> bool {
        services::cancelled()
    }
}
