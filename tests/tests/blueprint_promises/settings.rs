//! Settings of blueprints: their effect on the cost, and wrong ones.

use crate::seeds::{TRAIN, build, features, parameters, step};
use kasmina_plugin_api::{Kind, Site, Topology};
use kasmina_tests::registry;
use kasmina_torch_ext::rng::RngFork;
use std::fmt::Write as _;

/// For settings that change the layers: the declared cost, the identity at birth and the gradients.
#[test]
fn settings_change_the_cost_and_break_no_promise() {
    tch::set_num_threads(1);
    let registry = registry(&[]);
    let (cnn, transformer) = (Site::new(Topology::CNN, 16), Site::new(Topology::TRANSFORMER, 16));
    for (id, site, config) in [
        ("conv_light", &cnn, r#"{"kernel_size": 5, "groups": 2}"#),
        ("conv_small", &cnn, r#"{"groups": 4}"#),
        ("conv_heavy", &cnn, r#"{"kernel_size": 1, "groups": 2}"#),
        ("depthwise", &cnn, r#"{"kernel_size": 7, "groups": 2}"#),
        ("bottleneck", &cnn, r#"{"reduction": 1}"#),
        ("attention", &cnn, r#"{"reduction": 2}"#),
        ("lora", &transformer, r#"{"rank": 3, "alpha": 16.0}"#),
        ("mlp", &transformer, r#"{"expansion": 1}"#),
        ("attention", &transformer, r#"{"n_head": 16}"#),
        ("flex_attention", &transformer, r#"{"window": 2, "alibi": false, "n_head": 2}"#),
    ] {
        let entry = registry.resolve_for(Kind::Blueprint, id, site.topology()).unwrap();
        let mut seed = build(&entry, site, config, 1).unwrap();
        let built: usize = parameters(&seed).iter().map(|p| p.tensor.numel()).sum();
        assert_eq!(built as u64, entry.cost(site, config).unwrap().unwrap().parameters, "{id} {config}");
        let _fork = RngFork::seeded(3).unwrap();
        let x = features(site);
        assert!(seed.forward(&x, &TRAIN).unwrap().equal(&x), "{id} {config}");
        for _ in 0..3 {
            assert!(step(&mut seed, &x, 0.5).iter().any(|(_, most)| *most > 0.0), "{id} {config}");
        }
    }
}

/// Building a seed refuses a wrong setting with its name and value.
#[test]
fn settings_out_of_range_are_refused_by_name() {
    let registry = registry(&[]);
    let (cnn, transformer) = (Site::new(Topology::CNN, 16), Site::new(Topology::TRANSFORMER, 16));
    let wrong = [
        ("conv_light", &cnn, r#"{"kernel_size": 4}"#),
        ("conv_small", &cnn, r#"{"groups": 5}"#),
        ("conv_heavy", &cnn, r#"{"kernel_size": 17}"#),
        ("depthwise", &cnn, r#"{"groups": 0}"#),
        ("bottleneck", &cnn, r#"{"reduction": 0}"#),
        ("bottleneck", &cnn, r#"{"width": 8}"#),
        ("lora", &transformer, r#"{"rank": 0}"#),
        ("lora", &transformer, r#"{"alpha": -1.0}"#),
        ("mlp", &transformer, r#"{"expansion": 17}"#),
        ("mlp_small", &transformer, r#"{"expansion": 3}"#),
        ("attention", &transformer, r#"{"n_head": 3}"#),
        ("flex_attention", &transformer, r#"{"n_head": 0}"#),
        ("flex_attention", &transformer, r#"{"window": 0}"#),
        ("flex_attention", &transformer, r#"{"alibi": 1}"#),
    ];
    let mut text = String::new();
    for (id, site, config) in wrong {
        let entry = registry.resolve_for(Kind::Blueprint, id, site.topology()).unwrap();
        writeln!(text, "{id:<16}{config:<20}{}", build(&entry, site, config, 1).unwrap_err()).unwrap();
    }
    insta::assert_snapshot!(text);
}
