//! The host networks that ship with Kasmina: `cnn`, `resnet` and `transformer`.

#![forbid(unsafe_code)]

mod cnn;
mod images;
mod resnet;
mod settings;
mod transformer;
#[cfg(test)]
mod visits;

pub use cnn::{Cnn, CnnConfig};
pub use images::MemoryFormat;
pub use resnet::{ResNet, ResNetConfig, Shortcut};
pub use transformer::{Transformer, TransformerConfig};

kasmina_plugin_api::export_plugin!();
