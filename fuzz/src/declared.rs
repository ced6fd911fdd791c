//! Parses arbitrary text as a declared blueprint with its expressions. It is read, or refused with a message.

#![no_main]

use kasmina_declared::{GraphConfig, RawGraph};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let raw = serde_json::json!({ "file": "any.blueprint.toml", "source": text, "settings": {} });
    let raw: RawGraph = serde_json::from_value(raw).expect("the configuration is well formed");
    if let Err(error) = GraphConfig::try_from(raw) {
        assert!(!error.is_empty(), "a refusal has a message");
    }
});
