//! Which kernels a training step runs at a slot.

/// Everything about a slot that decides which kernels a training step runs there; structure apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, compared as a whole")]
pub(crate) struct SlotKernelState {
    pub(super) runs: bool,
    pub(super) silent: bool,
    pub(super) seed_only: bool,
    pub(super) isolated: bool,
    pub(super) leaving: bool,
    pub(super) learning: bool,
    pub(super) shadowing: bool,
}
