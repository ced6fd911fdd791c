//! The rules for seeds at every site, and the table of costs.

use crate::seeds::{
    EVAL, TRAIN, blueprints, build, features, is_finite, largest_magnitude, parameters, step,
};
use kasmina_plugin_api::abi::SeedInstance;
use kasmina_plugin_api::{Capability, Layout, Site, Topology};
use kasmina_registry::Entry;
use kasmina_torch_ext::autocast::Autocast;
use kasmina_torch_ext::autograd::is_channels_last;
use kasmina_torch_ext::rng::RngFork;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use tch::{Device, Kind as Dtype, Tensor};

const CHANNELS: [i64; 6] = [1, 3, 8, 48, 64, 384];

/// Runs a seed forward and backward, checks shape, dtype, layout and finiteness of its output and gradients,
/// and returns the detached output.
fn check_forward_and_backward(seed: &mut SeedInstance, x: &Tensor, what: &str) -> Tensor {
    let output = seed.forward(x, &TRAIN).unwrap();
    assert_eq!(output.size(), x.size(), "{what}");
    let narrow = x.kind() == Dtype::BFloat16 && output.kind() == Dtype::Float;
    assert!(narrow || output.kind() == x.kind(), "{what}: {:?} out of {:?}", output.kind(), x.kind());
    assert!(is_finite(&output), "{what}");
    if x.dim() == 4 && is_channels_last(x).unwrap() {
        assert!(is_channels_last(&output).unwrap(), "{what}: {:?}", output.stride());
    }
    if output.requires_grad() {
        (&output * output.detach().randn_like()).sum(Dtype::Float).backward();
        for p in parameters(seed) {
            assert!(!p.tensor.grad().defined() || is_finite(&p.tensor.grad()), "{what}: {}", p.name);
        }
    }
    output.detach()
}

/// Checks every rule for seeds at one site.
fn check_promises(entry: &Entry, site: &Site, what: &str) {
    let _fork = RngFork::seeded(5).unwrap();
    let x = features(site);
    let identity = entry.declares(Capability::IdentityAtBirth);
    let mut seed = build(entry, site, "", 1).unwrap();
    for isolated in [true, false] {
        let x = x.detach().set_requires_grad(!isolated);
        let output = check_forward_and_backward(&mut seed, &x, what);
        assert!(
            !identity || output.equal(&x),
            "{what} is not the identity at birth: {}",
            largest_magnitude(&(&output - &x))
        );
        assert!(isolated || largest_magnitude(&x.grad()) > 0.0, "{what}: no gradient reaches the host");
    }

    let all: BTreeSet<String> = parameters(&seed).into_iter().map(|p| p.name).collect();
    let mut reached = BTreeSet::new();
    for n in 0..2 {
        let gradients = step(&mut seed, &x, 0.5);
        // The direction has length 1. A layer that normalizes zeros multiplies gradients by 1 / sqrt(1e-5) =
        // 316.
        let strongest = gradients.iter().map(|(_, most)| *most).fold(0.0, f64::max);
        assert!(n > 0 || strongest < 30.0, "{what}: gradients of {strongest} at birth");
        reached.extend(gradients.into_iter().filter(|(_, most)| *most > 0.0).map(|(name, _)| name));
        assert!(all.is_empty() || !reached.is_empty(), "{what} is dead at birth");
    }
    assert_eq!(reached, all, "{what}: reached by a gradient within two steps, of all");

    let eval = |seed: &mut SeedInstance| tch::no_grad(|| seed.forward(&x, &EVAL)).unwrap();
    let output = eval(&mut seed);
    assert!(is_finite(&output) && (all.is_empty() || !output.equal(&x)), "{what} has learnt");
    let mut again = build(entry, site, "", 2).unwrap();
    for (from, to) in seed.variables().unwrap().iter().zip(again.variables().unwrap()) {
        assert_eq!(from.name, to.name, "{what}");
        tch::no_grad(|| to.tensor.shallow_clone().copy_(&from.tensor));
    }
    let state = seed.state().unwrap();
    if !state.is_empty() {
        again.restore(&state, entry.record().state_version).unwrap();
    }
    assert!(eval(&mut again).equal(&output), "{what}: a copy returns another output");

    let _cast = Autocast::bf16(Device::Cpu).unwrap();
    let (half, mut fresh) = (x.to_kind(Dtype::BFloat16), build(entry, site, "", 1).unwrap());
    let born = check_forward_and_backward(&mut fresh, &half, &format!("{what}, bf16"));
    assert!(
        !identity || born.to_kind(Dtype::BFloat16).equal(&half),
        "{what} is not the identity at birth in bf16"
    );
    drop(check_forward_and_backward(&mut seed, &half, &format!("{what}, bf16, used")));
}

/// At default settings: one row for each blueprint, topology and number of channels.
#[test]
fn every_blueprint_keeps_its_promises_at_every_site() {
    tch::set_num_threads(1);
    let mut text = format!(
        "{:<47}{:<13}{:>8}  {:>10}  {:>14}  at birth\n",
        "blueprint", "topology", "channels", "parameters", "flops/position"
    );
    for entry in blueprints() {
        let name = entry.full_name();
        for topology in [Topology::CNN, Topology::TRANSFORMER].into_iter().filter(|t| entry.serves(*t)) {
            let refusals: Vec<_> =
                CHANNELS.iter().map(|c| build(&entry, &Site::new(topology, *c), "", 1).err()).collect();
            if let [Some(why), rest @ ..] = &refusals[..]
                && rest.iter().all(|other| other.as_ref() == Some(why))
            {
                writeln!(text, "{name:<47}{topology:<13}{:>8}  refused: {why}", "any").unwrap();
                continue;
            }
            for (channels, refusal) in CHANNELS.into_iter().zip(refusals) {
                let site = Site::new(topology, channels);
                write!(text, "{name:<47}{topology:<13}{channels:>8}  ").unwrap();
                if let Some(why) = refusal {
                    writeln!(text, "refused: {why}").unwrap();
                    continue;
                }
                let seed = build(&entry, &site, "", 1).unwrap();
                let cost = entry.cost(&site, "").unwrap().expect("it says what it costs");
                let built: usize = parameters(&seed).iter().map(|p| p.tensor.numel()).sum();
                assert_eq!(built as u64, cost.parameters, "{name} {channels}");
                let born = if entry.declares(Capability::IdentityAtBirth) { "identity" } else { "any" };
                writeln!(text, "{:>10}  {:>14}  {born}", cost.parameters, cost.flops_per_position).unwrap();
                let what = format!("{name}, {topology} of {channels} channels");
                check_promises(&entry, &site, &what);
                if topology == Topology::CNN {
                    let what = format!("{what}, channels-last");
                    check_promises(&entry, &site.with_layout(Layout::ChannelsLast), &what);
                }
            }
        }
    }
    insta::assert_snapshot!(text);
}
