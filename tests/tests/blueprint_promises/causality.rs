//! Seeds of sequences do not look ahead.

use crate::seeds::{EVAL, blueprints, build, features, largest_magnitude, step};
use kasmina_plugin_api::{Site, Topology};
use kasmina_torch_ext::rng::RngFork;
use tch::{Device, Kind as Dtype, Tensor};

/// A seed of a language model that looks ahead would learn to copy. In a trained seed, changing a position
/// changes no earlier one, to the bit.
#[test]
fn no_transformer_seed_looks_ahead() {
    tch::set_num_threads(1);
    let site = Site::new(Topology::TRANSFORMER, 48);
    let _fork = RngFork::seeded(17).unwrap();
    let mut tried = Vec::new();
    for entry in blueprints() {
        if !entry.serves(Topology::TRANSFORMER) || build(&entry, &site, "", 1).is_err() {
            continue;
        }
        let flex = [r#"{"window": 3}"#, r#"{"window": 2, "alibi": false}"#, r#"{"alibi": false}"#];
        let more: &[&str] = if entry.id() == "flex_attention" { &flex } else { &[] };
        for config in more.iter().chain([&""]) {
            let mut seed = build(&entry, &site, config, 1).unwrap();
            for _ in 0..4 {
                step(&mut seed, &features(&site), 0.5);
            }
            let x = Tensor::randn([2, 9, 48], (Dtype::Float, Device::Cpu));
            let mut eval = |x: &Tensor| tch::no_grad(|| seed.forward(x, &EVAL)).unwrap();
            let before = eval(&x);
            assert!(
                entry.id() == "noop" || largest_magnitude(&(&before - &x)) > 1e-3,
                "{} has learnt",
                entry.full_name()
            );
            for position in [1, 4, 8] {
                let other = x.copy();
                let _ = other.narrow(1, position, 1).normal_(0.0, 3.0);
                let after = eval(&other);
                let what = format!("{} {config} at {position}", entry.full_name());
                let (past, was) = (after.narrow(1, 0, position), before.narrow(1, 0, position));
                assert!(past.equal(&was), "{what}: {} ahead", largest_magnitude(&(past - was)));
                assert!(!after.narrow(1, position, 1).equal(&before.narrow(1, position, 1)), "{what}");
            }
            if config.contains("window") {
                // A position has no effect beyond the window either.
                let other = x.copy();
                let _ = other.narrow(1, 2, 1).normal_(0.0, 3.0);
                let (after, seen) = (eval(&other), if config.contains('3') { 3 } else { 2 });
                let differs = |at: i64| !after.narrow(1, at, 1).equal(&before.narrow(1, at, 1));
                let moved: Vec<i64> = (0..9).filter(|at| differs(*at)).collect();
                assert_eq!(moved, (2..2 + seen).collect::<Vec<_>>(), "{config}");
            }
            tried.push(format!("{} {config}", entry.id()));
        }
    }
    assert_eq!(
        tried,
        [
            "attention ",
            r#"flex_attention {"window": 3}"#,
            r#"flex_attention {"window": 2, "alibi": false}"#,
            r#"flex_attention {"alibi": false}"#,
            "flex_attention ",
            "graph ",
            "lora ",
            "mlp ",
            "mlp_small ",
            "noop ",
            "norm ",
        ]
    );
}
