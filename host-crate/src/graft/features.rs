//! What flows through a slot.

use kasmina_plugin_api::Layout;
use tch::{Device, Kind};

/// What flows through a slot, seen in a real forward of the host.
#[derive(Debug, Clone, PartialEq)]
pub struct Features {
    /// Shape of one sample, without the batch dimension.
    pub shape: Vec<i64>,
    /// Data type of the features.
    pub dtype: Kind,
    /// How they lie in memory.
    pub layout: Layout,
    /// Device that the features are on.
    pub device: Device,
}
