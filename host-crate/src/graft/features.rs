//! The features at a slot.

use kasmina_plugin_api::Layout;
use tch::{Device, Kind};

/// Shape, dtype, layout and device of the features at a slot, observed in a forward of the host.
#[derive(Debug, Clone, PartialEq)]
pub struct Features {
    /// Shape of one sample, without the batch dimension.
    pub shape: Vec<i64>,
    /// Data type of the features.
    pub dtype: Kind,
    /// Memory layout of the features.
    pub layout: Layout,
    /// Device that the features are on.
    pub device: Device,
}
