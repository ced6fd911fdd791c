//! Generation with a transformer of 30 million parameters, beside GPT-2 of the same shape in transformers.

use crate::stopwatch::{Row, Runner, in_turns};
use anyhow::{Context as _, Result};
use kasmina_export::{Network, Sampling, Source};
use kasmina_trainer::config::{DataConfig, HostConfig};
use kasmina_trainer::run::Choice;
use kasmina_trainer::{RunConfig, Trainer};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use tch::{Device, Kind, Tensor};

/// Numbers of sequences at a time.
pub(crate) const BATCHES: [i64; 2] = [1, 16];
/// Number of tokens of the prompt.
pub(crate) const PROMPT: i64 = 16;
/// Number of tokens that are generated.
pub(crate) const TOKENS: u32 = 224;
/// Length of the longest sequence in tokens.
const LONGEST: u32 = 256;
/// Number of different characters of the text, which are the tokens that are generated.
const CHARACTERS: u32 = 64;

/// Measures the time of a token of all sequences, in bfloat16.
pub(crate) fn measure(device: Device, rounds: usize, quick: bool) -> Result<Vec<Row>> {
    let home = tempfile::tempdir()?;
    let registry = kasmina_tests::registry(&[]);
    let run = train(home.path(), device, &registry)?;
    let source = Source::open(&run, Choice::Last)?;
    let tokens = if quick { 4 } else { TOKENS };
    let mut rows = Vec::new();
    for batch in BATCHES {
        let mut network = Network::of(&source, &registry, device)?;
        network.cast(Kind::BFloat16)?;
        let prompt = Tensor::ones([batch, PROMPT], (Kind::Int64, device));
        let step = Box::new(move || {
            let sampling = Sampling::default();
            let generated = network.generate(&prompt, tokens, &sampling, &mut |_| ControlFlow::Continue(()));
            assert_eq!(generated.unwrap().size(), [batch, PROMPT + i64::from(tokens)]);
        });
        let runner = Runner { name: name(device, batch), side: "generate", step };
        for mut row in in_turns(vec![runner], device, rounds, 1) {
            row.us.iter_mut().for_each(|us| *us /= f64::from(tokens));
            rows.push(row);
        }
    }
    Ok(rows)
}

/// Returns the name of a row.
pub(crate) fn name(device: Device, batch: i64) -> String {
    format!("{} generate b{batch} bf16", if device.is_cuda() { "cuda" } else { "cpu" })
}

/// Trains the network for one step, so that it can be opened like any other. Returns the run directory.
fn train(home: &Path, device: Device, registry: &kasmina_registry::Registry) -> Result<std::path::PathBuf> {
    let text: String =
        (0..CHARACTERS * LONGEST).filter_map(|i| char::from_u32(0x4e00 + i % CHARACTERS)).collect();
    std::fs::write(home.join("text"), text)?;
    let host = serde_json::json!({
        "vocab_size": 50_257, "n_embd": 384, "n_head": 6, "n_layer": 6, "block_size": LONGEST, "dropout": 0.1
    });
    let config = RunConfig {
        task: "chars".to_owned(),
        data: DataConfig {
            text: Some(home.join("text")),
            sequence_length: LONGEST,
            train_samples: Some(8),
            validation_samples: Some(8),
            ..DataConfig::default()
        },
        epochs: 1,
        controller: "none".to_owned(),
        device: if device.is_cuda() { "cuda:0" } else { "cpu" }.to_owned(),
        host: HostConfig {
            id: "transformer".to_owned(),
            config: host.as_object().cloned().unwrap_or_default(),
            frozen: false,
        },
        ..RunConfig::default()
    };
    let run = home.join("run");
    Trainer::prepare(config, registry)?
        .run(Some(&run), &mut (), &AtomicBool::new(false))
        .context("training one step")?;
    Ok(run)
}
