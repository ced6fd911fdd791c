//! Outputs, gradients and tensors of the host agree with those of the bare module.

use crate::modules::{RecordingTaps, build, file, images, tensors, tokens};
use kasmina_plugin_api::Mode;
use kasmina_plugin_api::abi::HostInstance;
use kasmina_tests::bench::bits;
use kasmina_torch_ext::rng::RngFork;
use serde_json::json;
use std::fmt::Write as _;
use tch::{CModule, Kind, Tensor};

/// Without seeds, outputs and gradients are those of the bare module, bit for bit, in both modes.
#[test]
fn a_module_without_seeds_computes_what_the_bare_module_computes() {
    tch::set_num_threads(1);
    let modules = [
        ("resnet", false, json!({ "slots": ["**"] })),
        ("digits", false, json!({ "slots": ["body.*"] })),
        ("traced", false, json!({})),
        ("dropped", false, json!({})),
        ("scaled", false, json!({})),
        ("transformer", true, json!({ "slots": ["**"], "sample": [6], "tokens": true })),
        ("recurrent", true, json!({ "sample": [6], "tokens": true })),
    ];
    for (name, is_text, more) in modules {
        for mode in [Mode::Train, Mode::Eval] {
            let x = if is_text { tokens() } else { images() };
            let mut host = build(name, &more).unwrap();
            let mut taps = RecordingTaps::default();
            let ours = {
                let _fork = RngFork::seeded(1).unwrap();
                host.forward(&x, mode, &mut taps).unwrap()
            };
            assert!(taps.0.iter().map(|(slot, _)| *slot).eq(0..host.slots().len()), "{name}");
            assert!(!taps.0.is_empty());
            let mut bare = CModule::load(file(name)).unwrap();
            if mode.is_train() {
                bare.set_train();
            } else {
                bare.set_eval();
            }
            let theirs = {
                let _fork = RngFork::seeded(1).unwrap();
                tch::jit::set_graph_executor_optimize(false);
                bare.forward_ts(&[&x]).unwrap()
            };
            assert_eq!(bits(&ours), bits(&theirs), "{name}");
            ours.square().sum(Kind::Float).backward();
            theirs.square().sum(Kind::Float).backward();
            let mine = tensors(&host);
            let mut learns = 0;
            for (parameter, theirs) in bare.named_parameters().unwrap() {
                // A tied weight is a variable under its first name; the bare module has a second tensor for
                // the other.
                if name == "transformer" && ["head.weight", "embedding.weight"].contains(&parameter.as_str())
                {
                    continue;
                }
                if theirs.requires_grad() {
                    learns += 1;
                    assert_eq!(bits(&mine[&parameter].grad()), bits(&theirs.grad()), "{name}: {parameter}");
                } else {
                    assert!(!mine[&parameter].requires_grad(), "{name}: {parameter}");
                    assert_eq!(bits(&mine[&parameter]), bits(&theirs));
                }
            }
            assert!(learns >= 4, "{name}");
        }
    }
}

#[test]
fn every_tensor_of_the_module_is_a_variable_once() {
    let host = build("digits", &json!({ "slots": ["body"] })).unwrap();
    let mut text = String::new();
    for variable in host.variables().unwrap() {
        let (kind, size) = (variable.tensor.kind(), variable.tensor.size());
        let learns = if variable.trainable { "learns" } else { "kept" };
        writeln!(text, "{} {kind:?} {size:?} {learns}", variable.name).unwrap();
    }
    insta::assert_snapshot!(text);
    let text = json!({ "slots": ["norm"], "sample": [6], "tokens": true });
    let tied = tensors(&build("transformer", &text).unwrap());
    assert!(tied.contains_key("embedding.weight") && !tied.contains_key("head.weight"), "{:?}", tied.keys());
    // The list of weights of a recurrent layer contains the variables themselves: changing one changes the
    // output.
    let mut host = build("recurrent", &text).unwrap();
    let before = host.forward(&tokens(), Mode::Eval, &mut RecordingTaps::default()).unwrap();
    let _ = tch::no_grad(|| tensors(&host)["lstm.weight_ih_l0"].shallow_clone().fill_(0.3));
    let after = host.forward(&tokens(), Mode::Eval, &mut RecordingTaps::default()).unwrap();
    assert_ne!(bits(&before), bits(&after));
}

#[test]
fn buffers_change_in_training_only() {
    let of = |host: &HostInstance| -> Vec<(String, Vec<f64>)> {
        let buffers = host.variables().unwrap().into_iter().filter(|v| !v.trainable);
        let value = |t: &Tensor| Vec::<f64>::try_from(t.to_kind(Kind::Double).reshape([-1])).unwrap();
        buffers.map(|v| (v.name, value(&v.tensor))).collect()
    };
    for name in ["resnet", "dropped", "scaled"] {
        let mut host = build(name, &json!({})).unwrap();
        let fresh = of(&host);
        assert!(
            fresh
                .iter()
                .filter(|(n, _)| n.ends_with("mean") || n.ends_with("seen"))
                .all(|(_, v)| v.iter().all(|v| *v == 0.0))
        );
        let _ = host.forward(&images(), Mode::Eval, &mut RecordingTaps::default()).unwrap();
        assert_eq!(fresh, of(&host), "{name}");
        let held = tensors(&host);
        for _ in 0..2 {
            let _ = host.forward(&images(), Mode::Train, &mut RecordingTaps::default()).unwrap();
        }
        let moved = of(&host);
        for ((buffer, before), (_, after)) in fresh.iter().zip(&moved) {
            assert_ne!(before, after, "{name}: {buffer}");
        }
        if name == "dropped" {
            assert_eq!(
                moved,
                [("seen".to_owned(), vec![8.0])],
                "the assigned buffer is written into the same tensor"
            );
            assert_eq!(held["seen"].int64_value(&[]), 8);
        }
    }
}

#[test]
fn two_hosts_of_one_file_share_no_tensor() {
    let (mut one, other) = (build("resnet", &json!({})).unwrap(), build("resnet", &json!({})).unwrap());
    let before: Vec<_> = tensors(&other).values().map(|t| bits(&t.to_kind(Kind::Float))).collect();
    let _ = one.forward(&images(), Mode::Train, &mut RecordingTaps::default()).unwrap();
    tch::no_grad(|| tensors(&one).into_values().for_each(|mut t| drop(t.fill_(2.0))));
    let after: Vec<_> = tensors(&other).values().map(|t| bits(&t.to_kind(Kind::Float))).collect();
    assert_eq!(before, after);
}
