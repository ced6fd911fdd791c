//! The shipped examples, run on tensors.

use crate::common::{TestSeed, features, max_difference, read, site};
use kasmina_declared::Graph;
use kasmina_plugin_api::ops::channels_last;
use kasmina_plugin_api::prelude::*;
use serde_json::{Value, json};

const EXAMPLES: [(&str, Topology, &str); 4] = [
    ("squeeze_excite", Topology::CNN, include_str!("../../examples/squeeze_excite.blueprint.toml")),
    (
        "depthwise_bottleneck",
        Topology::CNN,
        include_str!("../../examples/depthwise_bottleneck.blueprint.toml"),
    ),
    ("transformer_mlp", Topology::TRANSFORMER, include_str!("../../examples/transformer_mlp.blueprint.toml")),
    (
        "causal_attention",
        Topology::TRANSFORMER,
        include_str!("../../examples/causal_attention.blueprint.toml"),
    ),
];

const CHANNELS: [i64; 5] = [1, 3, 8, 16, 48];

/// Runs a check with a seed of every example at every number of channels.
fn each(mut check: impl FnMut(&str, &Site, TestSeed)) {
    for (name, topology, text) in EXAMPLES {
        for channels in CHANNELS {
            let site = site(topology, channels);
            if name == "transformer_mlp" && channels == 1 {
                let error = TestSeed::new(read(text, &json!({})).unwrap(), &site).err().unwrap();
                assert_eq!(error.kind, ErrorKind::Unsupported, "the norm of one channel is 0");
                continue;
            }
            let grown = TestSeed::new(read(text, &json!({})).unwrap(), &site).unwrap();
            check(&format!("{name} at {channels}"), &site, grown);
        }
    }
}

#[test]
fn every_example_is_tested() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/examples");
    assert_eq!(std::fs::read_dir(folder).unwrap().count(), EXAMPLES.len());
    for (name, _, text) in EXAMPLES {
        assert!(text.contains(&format!("id = \"{name}\"")), "{name}");
    }
}

#[test]
fn they_are_the_identity_at_birth_and_keep_shape_and_dtype() {
    each(|name, site, mut grown| {
        let x = features(site.topology(), site.channels());
        for mode in [Mode::Train, Mode::Eval] {
            let out = grown.forward(&x, mode);
            assert_eq!((out.size(), out.kind()), (x.size(), x.kind()), "{name}");
            assert_eq!(max_difference(&out, &x), 0.0, "{name}");
        }
    });
}

/// Initial weights are random, and a rectifier with few units may output only zeros. So every parameter must
/// move in at least one of several draws of the initial weights.
#[test]
fn the_first_step_has_a_gradient_and_two_steps_move_every_parameter() {
    each(|name, site, first| {
        let x = features(site.topology(), site.channels());
        let mut unmoved: Vec<String> = first.parameters().into_keys().collect();
        for mut grown in std::iter::once(first).chain((1..DRAWS).map(|_| rebuilt(name, site))) {
            let before = grown.parameters();
            assert!(!grown.step(&x).is_empty(), "{name}: no parameter has a gradient at birth");
            grown.step(&x);
            let after = grown.parameters();
            unmoved.retain(|parameter| max_difference(&after[parameter], &before[parameter]) == 0.0);
            if unmoved.is_empty() {
                return;
            }
        }
        panic!("{name}: {unmoved:?} never moved in {DRAWS} draws");
    });
}

/// Number of draws of the initial weights.
const DRAWS: usize = 8;

/// Builds another seed of an example, with new initial weights.
fn rebuilt(name: &str, site: &Site) -> TestSeed {
    let text = EXAMPLES.iter().find(|(id, ..)| name.starts_with(&format!("{id} "))).unwrap().2;
    TestSeed::new(read(text, &json!({})).unwrap(), site).unwrap()
}

#[test]
fn the_cost_is_that_of_the_seed() {
    each(|name, site, grown| {
        let text = EXAMPLES.iter().find(|(id, ..)| name.starts_with(id)).unwrap().2;
        let cost = Graph::cost(site, &read(text, &json!({})).unwrap()).unwrap();
        assert_eq!(cost.parameters, grown.count(), "{name}");
        assert!(cost.flops_per_position > 0, "{name}");
    });
}

#[test]
fn samples_are_independent_in_evaluation() {
    each(|name, site, mut grown| {
        let x = features(site.topology(), site.channels());
        grown.step(&x);
        grown.step(&x);
        let together = grown.forward(&x, Mode::Eval);
        for n in 0..3 {
            let alone = grown.forward(&x.narrow(0, n, 1), Mode::Eval);
            assert!(max_difference(&alone, &together.narrow(0, n, 1)) < 1e-5, "{name}");
        }
    });
}

#[test]
fn no_position_depends_on_a_later_one() {
    each(|name, site, mut grown| {
        if site.topology() == Topology::CNN {
            return;
        }
        let x = features(site.topology(), site.channels());
        grown.step(&x);
        grown.step(&x);
        let out = grown.forward(&x, Mode::Eval);
        assert!(max_difference(&out, &x) > 0.0, "{name}");
        let other = x.copy();
        let _ = other.narrow(1, 4, 3).fill_(3.0);
        let seen = grown.forward(&other, Mode::Eval);
        assert!(max_difference(&out.narrow(1, 0, 4), &seen.narrow(1, 0, 4)) < 1e-6, "{name}");
    });
}

/// The features of an isolated seed on a channels-last host: the case in which libtorch's own backward
/// crashes.
#[test]
fn channels_last_features_keep_their_layout() {
    each(|name, site, mut grown| {
        if site.topology() != Topology::CNN {
            return;
        }
        let x = features(site.topology(), site.channels());
        let last = channels_last(&x).unwrap();
        grown.step(&last);
        grown.step(&last);
        let [a, b] = [&x, &last].map(|x| grown.forward(x, Mode::Eval));
        assert!(max_difference(&a, &b) < 1e-5, "{name}");
        if site.channels() > 1 {
            assert_eq!(b.stride(), last.stride(), "{name}");
        }
    });
}

#[test]
fn parameters_change_what_is_built() {
    let count = |settings: Value| {
        let config = read(EXAMPLES[1].2, &settings).unwrap();
        Graph::cost(&site(Topology::CNN, 16), &config).unwrap().parameters
    };
    // down 16*4+4, depthwise 4*9, norm 8, up 4*16+16
    assert_eq!(count(json!({})), 68 + 36 + 8 + 80);
    assert_eq!(count(json!({ "kernel": 5 })), 68 + 100 + 8 + 80);
    assert_eq!(count(json!({ "squeeze": 2 })), 136 + 72 + 16 + 144);
    assert_eq!(
        read(EXAMPLES[1].2, &json!({ "kernel": 4 })).unwrap_err(),
        "gates.blueprint.toml:28:10: `kernel` is 4 where C = 64; it must be odd, so that it has a centre"
    );
}

#[test]
fn dropout_draws_in_training_only() {
    let mut grown =
        TestSeed::new(read(EXAMPLES[2].2, &json!({ "rate": 0.5 })).unwrap(), &site(Topology::TRANSFORMER, 8))
            .unwrap();
    let x = features(Topology::TRANSFORMER, 8);
    grown.step(&x);
    let twice =
        |grown: &mut TestSeed, mode| max_difference(&grown.forward(&x, mode), &grown.forward(&x, mode));
    assert_eq!(twice(&mut grown, Mode::Eval), 0.0);
    assert!(twice(&mut grown, Mode::Train) > 0.0);
}

#[test]
fn the_default_configuration_builds_a_seed() {
    for topology in [Topology::CNN, Topology::TRANSFORMER] {
        let mut grown = TestSeed::new(kasmina_declared::GraphConfig::default(), &site(topology, 8)).unwrap();
        let x = features(topology, 8);
        assert_eq!(max_difference(&grown.forward(&x, Mode::Train), &x), 0.0);
        assert_eq!(grown.step(&x), ["gain"]);
    }
}
