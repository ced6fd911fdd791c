//! Which kernels a training step runs at a slot.

/// Everything about a slot, except its structure, that decides which kernels a training step runs there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, compared as a whole")]
pub(crate) struct SlotKernelState {
    /// The slot holds a seed in an active stage.
    pub(super) runs: bool,
    /// Alpha is 0.
    pub(super) silent: bool,
    /// Alpha is 1 and the blend need not be called.
    pub(super) seed_only: bool,
    /// The seed's input is detached.
    pub(super) isolated: bool,
    /// A prune is scheduled.
    pub(super) leaving: bool,
    /// Gradients are measured.
    pub(super) measured: bool,
    /// The seed's output is compared with the host's features (SHADOWING).
    pub(super) shadowing: bool,
}
