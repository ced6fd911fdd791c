//! Tests of every operation separately.

use crate::common::{TestSeed, features, max_difference, read, site};
use kasmina_declared::Graph;
use kasmina_plugin_api::ops::channels_last;
use kasmina_plugin_api::prelude::*;
use serde_json::json;

/// Returns a document with these layers.
fn around(layers: &str) -> String {
    format!("[blueprint]\nid = \"one\"\nsummary = \"one\"\ncapabilities = [\"stochastic\"]\n{layers}")
}

fn layer(op: &str, keys: &str) -> String {
    format!("[[layer]]\nop = \"{op}\"\n{keys}\n")
}

/// Returns documents' layers that keep the slot's shape, with the topologies that they support.
fn table() -> Vec<(String, &'static [Topology])> {
    const MAPS: &[Topology] = &[Topology::CNN];
    const SEQUENCES: &[Topology] = &[Topology::TRANSFORMER];
    const BOTH: &[Topology] = &[Topology::CNN, Topology::TRANSFORMER];
    let both = |op: &str| {
        format!(
            "[[layer]]\nname = \"a\"\nop = \"linear\"\n[[layer]]\nop = \"{op}\"\nfrom = [\"a\", \"input\", \"a\"]\n"
        )
    };
    let wide = layer("linear", "channels = \"C\"");
    let mut table = vec![
        (layer("conv", ""), MAPS),
        (layer("conv", "kernel = 5\ndilation = 2\nbias = false\ngroups = \"in\""), MAPS),
        (layer("conv", "stride = 2") + &layer("upsample", ""), MAPS),
        (layer("depthwise", "kernel = 7"), MAPS),
        (layer("depthwise", "stride = 2\nbias = false") + &layer("upsample", ""), MAPS),
        (layer("linear", "bias = false"), BOTH),
        (layer("norm", ""), MAPS),
        (layer("group_norm", "groups = 1"), MAPS),
        (layer("layer_norm", ""), BOTH),
        (layer("rms_norm", "eps = 1e-6"), BOTH),
        (layer("batch_norm", "momentum = 0.5"), MAPS),
        (layer("squeeze_excite", ""), MAPS),
        (layer("self_attention", "heads = \"max(C / 4, 1)\""), SEQUENCES),
        (layer("self_attention", "heads = 1\ncausal = false\nbias = false"), SEQUENCES),
        (layer("avg_pool", "") + &wide, MAPS),
        (layer("max_pool", "stride = 2") + &layer("upsample", "") + &wide, MAPS),
        (layer("global_avg", "") + &layer("upsample", "") + &wide, MAPS),
        (both("add"), BOTH),
        (both("mul"), BOTH),
        (both("concat") + &wide, BOTH),
        (layer("scale", "value = 0.5"), BOTH),
        (layer("scale", "per = \"channel\""), BOTH),
        (layer("linear", "") + &layer("dropout", "p = 0.5"), BOTH),
        (layer("linear", "") + &layer("identity", ""), BOTH),
        (layer("linear", "channels = 1") + "[[layer]]\nop = \"mul\"\nfrom = [\"input\", \"l\"]\n", BOTH),
    ];
    if let Some((last, _)) = table.last_mut() {
        *last = last.replacen("op = \"linear\"", "op = \"linear\"\nname = \"l\"", 1);
    }
    for op in ["relu", "leaky_relu", "gelu", "silu", "swish", "tanh", "sigmoid", "softplus"] {
        table.push((layer("linear", "") + &layer(op, ""), BOTH));
    }
    table
}

#[test]
fn the_table_has_every_operation() {
    let schema = kasmina_declared::schema::document();
    let all: String = table().into_iter().map(|(layers, _)| layers).collect();
    for op in schema["properties"]["layer"]["items"]["oneOf"].as_array().unwrap() {
        for name in op["properties"]["op"]["enum"].as_array().unwrap() {
            assert!(all.contains(&format!("op = {name}")), "{name} is not tested");
        }
    }
}

#[test]
fn each_runs_forward_and_backward_and_has_the_declared_cost() {
    for (layers, topologies) in table() {
        for topology in [Topology::CNN, Topology::TRANSFORMER] {
            for channels in [1, 8, 12] {
                let site = site(topology, channels);
                let config = read(&around(&layers), &json!({})).unwrap();
                let cost = Graph::cost(&site, &config);
                let built = TestSeed::new(config, &site);
                if !topologies.contains(&topology) || (channels == 1 && layers.contains("layer_norm")) {
                    assert_eq!(built.err().unwrap().kind, ErrorKind::Unsupported, "{layers}");
                    continue;
                }
                let mut grown = built.unwrap_or_else(|error| panic!("{layers}: {error}"));
                assert_eq!(cost.unwrap().parameters, grown.count(), "{layers}");
                let x = features(topology, channels);
                assert_eq!(grown.forward(&x, Mode::Train).size(), x.size(), "{layers}");
                assert!(!grown.step(&x).is_empty(), "{layers}");
                if topology == Topology::CNN {
                    // As the features of an isolated seed of a channels-last host.
                    let last = channels_last(&x).unwrap();
                    assert_eq!(grown.forward(&last, Mode::Eval).size(), x.size(), "{layers}");
                    grown.step(&last);
                }
                // In evaluation a sample's output does not depend on the rest of the batch.
                let together = grown.forward(&x, Mode::Eval);
                let alone = grown.forward(&x.narrow(0, 1, 1), Mode::Eval);
                assert!(max_difference(&alone, &together.narrow(0, 1, 1)) < 1e-4, "{layers}");
            }
        }
    }
}

/// Features with one channel or one position are contiguous in both memory formats.
#[test]
fn a_norm_of_ambiguous_features_does_not_crash() {
    for shape in [[3, 1, 4, 4], [3, 8, 1, 1], [3, 1, 1, 1]] {
        let text = around(&(layer("norm", "") + &layer("squeeze_excite", "")));
        let mut grown =
            TestSeed::new(read(&text, &json!({})).unwrap(), &site(Topology::CNN, shape[1])).unwrap();
        let x = Tensor::randn(shape, (tch::Kind::Float, tch::Device::Cpu));
        let strides = [shape[1] * shape[2] * shape[3], 1, shape[1] * shape[3], shape[1]];
        grown.step(&x.as_strided(shape, strides, None));
    }
}

#[test]
fn variables_are_named_after_layers() {
    let text = around(&layer("conv", "name = \"first\"")) + &layer("norm", "") + "[output]\ngain = 0.5\n";
    let grown = TestSeed::new(read(&text, &json!({})).unwrap(), &site(Topology::CNN, 4)).unwrap();
    let mut names: Vec<String> = grown.store.variables().into_keys().collect();
    names.sort();
    assert_eq!(names, ["first.bias", "first.weight", "gain", "group_norm-2.bias", "group_norm-2.weight"]);
}

#[test]
fn a_gain_interpolates_between_the_slot_and_the_branch() {
    let run = |output: &str| {
        let text = around(&layer("scale", "value = 3.0")) + output;
        let mut grown = TestSeed::new(read(&text, &json!({})).unwrap(), &site(Topology::CNN, 4)).unwrap();
        let x = Tensor::ones([1, 4, 2, 2], (tch::Kind::Float, tch::Device::Cpu));
        grown.forward(&x, Mode::Train).max().f_double_value(&[]).unwrap()
    };
    assert_eq!(run(""), 3.0);
    assert_eq!(run("[output]\nresidual = \"add\""), 4.0);
    assert_eq!(run("[output]\nresidual = \"add\"\ngain = 0.5"), 2.5);
    assert_eq!(run("[output]\nresidual = \"none\"\ngain = 0.5"), 2.0);
}

#[test]
fn half_precision_features_keep_their_dtype() {
    let mut grown = TestSeed::new(
        read(
            &(around(&layer("scale", "per = \"channel\"")) + "[output]\nresidual = \"add\"\ngain = 0.0"),
            &json!({}),
        )
        .unwrap(),
        &site(Topology::CNN, 4),
    )
    .unwrap();
    let x = features(Topology::CNN, 4).to_kind(tch::Kind::BFloat16);
    assert_eq!(grown.forward(&x, Mode::Train).kind(), tch::Kind::BFloat16);
}

/// A document accepted as the identity at birth computes the identity, and any accepted document has a
/// gradient.
#[test]
fn the_analysis_of_birth_agrees_with_tensors() {
    let (mut identities, mut dead) = (0, 0);
    for first in ["default", "zeros"] {
        for between in
            ["relu", "tanh", "sigmoid", "identity", "layer_norm", "squeeze_excite", "scale\"\nvalue = \"0"]
        {
            for last in ["linear", "linear\"\ninit = \"zeros", "scale", "mul"] {
                for output in
                    ["", "residual = \"add\"", "residual = \"add\"\ngain = 0", "gain = 0", "gain = 0.5"]
                {
                    let between = between.replace("\"0", "0");
                    let from = if last == "mul" { "\"\nfrom = [\"input\", \"b\"]" } else { "\"" };
                    let quote = if between.ends_with('0') { "" } else { "\"" };
                    let layers = format!(
                        "[[layer]]\nop = \"linear\"\ninit = \"{first}\"\n[[layer]]\nname = \"b\"\nop = \"{between}{quote}\n\
                         [[layer]]\nop = \"{last}{from}\n[output]\n{output}\n"
                    );
                    let x = features(Topology::CNN, 4);
                    let declared_identity =
                        around(&layers).replace("\"stochastic\"", "\"identity_at_birth\"");
                    if let Ok(config) = read(&declared_identity, &json!({})) {
                        let mut grown = TestSeed::new(config, &site(Topology::CNN, 4)).unwrap();
                        assert_eq!(max_difference(&grown.forward(&x, Mode::Train), &x), 0.0, "{layers}");
                        identities += 1;
                    }
                    match read(&around(&layers), &json!({})) {
                        Ok(config) => {
                            let mut grown = TestSeed::new(config, &site(Topology::CNN, 4)).unwrap();
                            assert!(!grown.step(&x).is_empty(), "{layers}");
                        }
                        Err(error) => {
                            assert!(error.contains("no parameter would ever learn"), "{error}\n{layers}");
                            dead += 1;
                        }
                    }
                }
            }
        }
    }
    assert!(identities > 100 && dead > 10, "{identities} {dead}");
}
