//! The host networks that ship with Kasmina: `cnn`.

#![forbid(unsafe_code)]

mod cnn;

pub use cnn::{Cnn, CnnConfig, MemoryFormat};

kasmina_plugin_api::export_plugin!();
