//! `tokenizer.json`: one token for each character, as the package tokenizers reads it.

use kasmina_trainer::task::TokenInput;
use serde_json::{Map, Value, json};

/// The content of `tokenizer.json`.
pub(super) fn tokenizer(input: &TokenInput) -> Value {
    let vocabulary: Map<String, Value> =
        input.alphabet.iter().enumerate().map(|(id, text)| (text.clone(), id.into())).collect();
    json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": [],
        "normalizer": null,
        "pre_tokenizer": { "type": "Split", "pattern": { "Regex": "[\\s\\S]" }, "behavior": "Isolated", "invert": false },
        "post_processor": null,
        "decoder": { "type": "Fuse" },
        "model": { "type": "WordLevel", "vocab": vocabulary, "unk_token": "" },
    })
}

/// The content of `tokenizer_config.json`.
pub(super) fn tokenizer_config(input: &TokenInput) -> Value {
    json!({
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": input.length,
        "clean_up_tokenization_spaces": false,
        "model_input_names": ["input_ids"],
    })
}
