//! Presets: the default settings of each task, where they differ from the defaults of all runs.

use serde_json::{Map, Value};
use toml::{Table, toml};

/// Returns the host settings in the preset of a task.
pub(crate) fn host_config(task: &str) -> Map<String, Value> {
    let preset = preset(task);
    let config = preset.get("host").and_then(|host| host.get("config"));
    let config = config.and_then(|config| serde_json::to_value(config).ok());
    config.and_then(|config| config.as_object().cloned()).unwrap_or_default()
}

/// Returns the preset of a task; empty for an unknown one.
pub(crate) fn preset(task: &str) -> Table {
    match task {
        "digits" => toml! {
            [host.config]
            n_blocks = 3
            base_channels = 3
            pool_layers = 0
            memory_format = "contiguous"
        },
        "cifar10" | "cifar100" => toml! {
            epochs = 60
            telemetry_interval = 50
            [data]
            crop = 4
            flip = true
            [optimizer]
            batch_size = 128
            learning_rate = 2e-3
        },
        "mnist" | "fashion_mnist" => toml! {
            epochs = 20
            telemetry_interval = 50
            [host.config]
            base_channels = 8
            [optimizer]
            batch_size = 128
            learning_rate = 3e-3
        },
        "chars" => toml! {
            epochs = 40
            blueprint = "mlp"
            [host]
            id = "transformer"
            [host.config]
            n_embd = 64
            n_head = 4
            n_layer = 3
            dropout = 0.0
            [optimizer]
            batch_size = 32
            learning_rate = 2e-3
        },
        // A host that seldom solves the task alone, so that the effect of a seed shows.
        "addition" => toml! {
            epochs = 40
            slots = ["late"]
            blueprint = "attention"
            [host]
            id = "transformer"
            [host.config]
            n_embd = 8
            n_head = 2
            n_layer = 1
            dropout = 0.0
            [optimizer]
            batch_size = 32
        },
        _ => Table::new(),
    }
}
