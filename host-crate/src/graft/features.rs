//! What flows through a slot.

use kasmina_plugin_api::Layout;
use tch::{Device, Kind};

/// What flows through a slot, seen in a real forward of the host.
#[derive(Debug, Clone, PartialEq)]
pub struct Features {
    /// Shape of one sample.
    pub shape: Vec<i64>,
    /// Their dtype.
    pub dtype: Kind,
    /// How they lie in memory.
    pub layout: Layout,
    /// Where they are.
    pub device: Device,
}
