//! The part of `config.json` that transformers reads.

use super::modeling::architecture;
use kasmina_trainer::task::{Input, Interface};
use serde_json::{Map, Value, json};

/// Returns what transformers must know of a network with these inputs and outputs.
pub(super) fn value(interface: &Interface, dtype: &str) -> Value {
    let class = architecture(interface);
    let (config_class, model_class) = ("modeling_kasmina.KasminaConfig", format!("modeling_kasmina.{class}"));
    let mut config = json!({
        "model_type": "kasmina",
        "architectures": [class],
        "auto_map": { "AutoConfig": config_class, "AutoModel": model_class },
        "dtype": dtype,
    });
    match &interface.input {
        Input::Image(_) => {
            config["auto_map"]["AutoModelForImageClassification"] = model_class.into();
            let labels = || interface.classes.iter().enumerate();
            let names: Map<_, _> = labels().map(|(id, name)| (id.to_string(), name.clone().into())).collect();
            let ids: Map<_, _> = labels().map(|(id, name)| (name.clone(), id.into())).collect();
            (config["id2label"], config["label2id"]) = (names.into(), ids.into());
        }
        Input::Tokens(tokens) => {
            config["auto_map"]["AutoModelForCausalLM"] = model_class.into();
            config["vocab_size"] = tokens.alphabet.len().into();
            config["max_position_embeddings"] = tokens.length.into();
            config["use_cache"] = false.into();
        }
    }
    config
}
