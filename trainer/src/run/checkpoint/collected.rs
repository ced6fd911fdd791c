//! Everything of a run between two steps, on its way to the writer.

use super::staging::Tensors;
use super::state::RunState;
use kasmina_checkpoint::About;
use kasmina_registry::PluginInfo;
use std::sync::Arc;

/// Everything of a run between two steps. The tensors are handles on those in training.
pub(crate) struct Collected {
    pub(super) about: About,
    pub(super) state: RunState,
    pub(super) tensors: Tensors,
    pub(super) builds: Vec<Arc<PluginInfo>>,
}
