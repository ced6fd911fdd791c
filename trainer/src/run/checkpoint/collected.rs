//! The collected state of a run, before its tensors are copied.

use super::staging::Tensors;
use super::state::RunState;
use kasmina_checkpoint::About;
use kasmina_registry::PluginInfo;
use std::sync::Arc;

/// The state of a run between two steps. The tensors share the memory of those in training.
pub(crate) struct Collected {
    pub(super) about: About,
    pub(super) state: RunState,
    pub(super) tensors: Tensors,
    pub(super) builds: Vec<Arc<PluginInfo>>,
}
