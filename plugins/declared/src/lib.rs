//! Blueprints without a compiler.

#![forbid(unsafe_code)]

kasmina_plugin_api::export_plugin!();
