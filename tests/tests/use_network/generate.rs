//! The text of `kasmina generate`.

use crate::runs::{ADDITION, must, train_and_export};
use kasmina_export::{Network, Sampling, Source};
use kasmina_trainer::run::Choice;
use serde_json::Value;
use std::ops::ControlFlow;
use std::path::Path;
use tch::{Device, Kind, Tensor};

const PROMPT: &str = "407+0";
const GREEDY: Sampling = Sampling { temperature: 0.0, top_k: None, seed: 1 };

fn network(path: &Path) -> Network {
    let source = Source::open(path, Choice::Last).unwrap();
    Network::of(&source, &kasmina_tests::registry(&[]), Device::Cpu).unwrap()
}

fn generated(home: &Path, arguments: &[&str]) -> Value {
    let fixed = ["--prompt", PROMPT, "--device", "cpu", "--json"];
    let all: Vec<&str> = ["generate"].iter().chain(arguments).chain(&fixed).copied().collect();
    serde_json::from_str(&must(home, &all)).unwrap()
}

/// The cache of the host and the seeds that read all earlier tokens change no token, and no logit beyond
/// rounding.
#[test]
fn each_token_is_the_one_that_all_earlier_tokens_give() {
    let home = tempfile::tempdir().unwrap();
    train_and_export(home.path(), ADDITION);
    for path in ["run", "out"] {
        let mut network = network(&home.path().join(path));
        // Two sequences at a time.
        let prompt = Tensor::from_slice2(&[[4_i64, 0, 7], [1, 10, 9]]);
        let mut shown = Vec::new();
        let found = network
            .generate(&prompt, 8, &GREEDY, &mut |tokens| {
                shown.push(tokens.to_vec());
                ControlFlow::Continue(())
            })
            .unwrap();
        let mut wanted = prompt;
        for tokens in shown {
            let logits = network.forward(&wanted).unwrap().select(1, -1).narrow(-1, 0, 12);
            let next = logits.argmax(-1, true);
            assert_eq!(tokens, Vec::<i64>::try_from(next.flatten(0, -1)).unwrap(), "`{path}`");
            wanted = Tensor::cat(&[wanted, next], 1);
        }
        assert!(found.equal(&wanted));
        assert_eq!(found.size(), [2, 11]);
    }
}

/// From run and export, with one seed of the random draws and with another.
#[test]
fn the_text_depends_on_the_settings_only() {
    let home = tempfile::tempdir().unwrap();
    train_and_export(home.path(), ADDITION);
    let text = |arguments: &[&str]| generated(home.path(), arguments)["text"].as_str().unwrap().to_owned();
    let long = ["--max-tokens", "40"];
    let of = |path: &'static str, more: &[&'static str]| text(&[&[path], &long[..], more].concat());
    let drawn = of("run", &["--seed", "3"]);
    assert_eq!(drawn.chars().count(), 40, "longer than the network reads at a time");
    assert_eq!(drawn, of("run", &["--seed", "3"]));
    assert_eq!(drawn, of("out", &["--seed", "3"]));
    assert_ne!(drawn, of("run", &["--seed", "4"]));
    assert_eq!(of("run", &["--temperature", "0"]), of("out", &["--top-k", "1"]));
    // Without --max-tokens the sum is completed.
    let whole = generated(home.path(), &["run"]);
    assert_eq!(whole["tokens"], 12 - PROMPT.len());
    let printed = must(home.path(), &["generate", "run", "--prompt", PROMPT, "--device", "cpu"]);
    assert_eq!(printed, format!("{PROMPT}{}\n", whole["text"].as_str().unwrap()));
}

#[test]
fn half_precision_and_a_caller_that_stops() {
    let home = tempfile::tempdir().unwrap();
    train_and_export(home.path(), ADDITION);
    let mut network = network(&home.path().join("out"));
    network.cast(Kind::BFloat16).unwrap();
    let prompt = network.tokens(PROMPT).unwrap();
    assert_eq!(network.forward(&prompt).unwrap().kind(), Kind::BFloat16);
    let mut count = 0;
    let found = network.generate(&prompt, 100, &Sampling::default(), &mut |_| {
        count += 1;
        if count == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert_eq!(found.unwrap().size(), [1, PROMPT.len() as i64 + 3]);
}
