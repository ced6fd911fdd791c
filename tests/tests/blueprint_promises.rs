//! Every blueprint that ships, wherever it says that it can live: what it costs, and that it keeps its
//! promises.

use kasmina::ModelConfig;
use kasmina::lifecycle::Stage;
use kasmina::model::Precision;
use kasmina_plugin_api::abi::{SeedInstance, Variable};
use kasmina_plugin_api::{Capability, Cx, ErrorKind, Kind, Layout, Mode, Site, Topology};
use kasmina_registry::{Entry, RegistryError};
use kasmina_tests::bench::{Bench, config, distance, easy};
use kasmina_tests::{gpu, registry};
use kasmina_torch_ext::autocast::Autocast;
use kasmina_torch_ext::autograd::{is_channels_last, to_channels_last};
use kasmina_torch_ext::cuda::graph::{Graph, Pool};
use kasmina_torch_ext::cuda::{Stream, synchronize};
use kasmina_torch_ext::norm::clear_gradients;
use kasmina_torch_ext::ops::OpCounter;
use kasmina_torch_ext::rng::RngFork;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use tch::{Device, Kind as Dtype, Tensor};

const CHANNELS: [i64; 6] = [1, 3, 8, 48, 64, 384];
const TRAIN: Cx<'static> = Cx::new(Mode::Train, 0, "catalogue");
const EVAL: Cx<'static> = Cx::new(Mode::Eval, 0, "catalogue");

fn blueprints() -> Vec<Entry> {
    registry(&[]).entries().into_iter().filter(|entry| entry.kind() == Kind::Blueprint).collect()
}

/// A seed, or why it will not live here.
fn build(entry: &Entry, site: &Site, config: &str, seed: u64) -> Result<SeedInstance, String> {
    let _fork = RngFork::seeded(seed).unwrap();
    entry.make_seed(site, config).map_err(|error| match error {
        RegistryError::Build { error, .. }
            if matches!(error.kind, ErrorKind::Config | ErrorKind::Unsupported) =>
        {
            error.to_string()
        }
        other => panic!("{} at {site:?}: {other}", entry.full_name()),
    })
}

fn features(site: &Site) -> Tensor {
    let c = site.channels();
    let shape = if site.topology() == Topology::CNN { vec![2, c, 6, 6] } else { vec![2, 5, c] };
    let x = Tensor::randn(shape, (Dtype::Float, Device::Cpu)) * 2.0 + 0.5;
    match site.layout() {
        Layout::ChannelsLast => to_channels_last(&x).unwrap(),
        Layout::Contiguous => x,
    }
}

fn parameters(seed: &SeedInstance) -> Vec<Variable> {
    seed.variables().unwrap().into_iter().filter(|variable| variable.trainable).collect()
}

fn most(tensor: &Tensor) -> f64 {
    tensor.detach().abs().max().double_value(&[])
}

fn finite(tensor: &Tensor) -> bool {
    tensor.detach().isfinite().all().int64_value(&[]) != 0
}

/// One step of plain gradient descent towards a random direction of length 1; answers with each parameter's
/// strongest gradient.
fn step(seed: &mut SeedInstance, x: &Tensor, rate: f64) -> Vec<(String, f64)> {
    let parameters = parameters(seed);
    clear_gradients(parameters.iter().map(|p| &p.tensor)).unwrap();
    let output = seed.forward(x, &TRAIN).unwrap();
    if parameters.is_empty() {
        return Vec::new();
    }
    let direction = output.detach().randn_like();
    let direction = &direction / direction.norm();
    (output * direction).sum(Dtype::Float).backward();
    let told = |p: &Variable| {
        let gradient = p.tensor.grad();
        if !gradient.defined() {
            return (p.name.clone(), 0.0);
        }
        assert!(finite(&gradient), "the gradient of {}", p.name);
        tch::no_grad(|| drop(p.tensor.shallow_clone().subtract_(&(&gradient * rate))));
        (p.name.clone(), most(&gradient))
    };
    parameters.iter().map(told).collect()
}

/// Shape, dtype, layout and values of what a seed makes of features, and a backward through it.
fn well_formed(seed: &mut SeedInstance, x: &Tensor, what: &str) -> Tensor {
    let output = seed.forward(x, &TRAIN).unwrap();
    assert_eq!(output.size(), x.size(), "{what}");
    let narrow = x.kind() == Dtype::BFloat16 && output.kind() == Dtype::Float;
    assert!(narrow || output.kind() == x.kind(), "{what}: {:?} out of {:?}", output.kind(), x.kind());
    assert!(finite(&output), "{what}");
    if x.dim() == 4 && is_channels_last(x).unwrap() {
        assert!(is_channels_last(&output).unwrap(), "{what}: {:?}", output.stride());
    }
    if output.requires_grad() {
        (&output * output.detach().randn_like()).sum(Dtype::Float).backward();
        for p in parameters(seed) {
            assert!(!p.tensor.grad().defined() || finite(&p.tensor.grad()), "{what}: {}", p.name);
        }
    }
    output.detach()
}

/// Everything that a blueprint promises of a site.
fn judge(entry: &Entry, site: &Site, what: &str) {
    let _fork = RngFork::seeded(5).unwrap();
    let x = features(site);
    let identity = entry.declares(Capability::IdentityAtBirth);
    let mut seed = build(entry, site, "", 1).unwrap();
    for isolated in [true, false] {
        let x = x.detach().set_requires_grad(!isolated);
        let output = well_formed(&mut seed, &x, what);
        assert!(
            !identity || output.equal(&x),
            "{what} is not the identity at birth: {}",
            most(&(&output - &x))
        );
        assert!(isolated || most(&x.grad()) > 0.0, "{what}: no gradient reaches the host");
    }

    let all: BTreeSet<String> = parameters(&seed).into_iter().map(|p| p.name).collect();
    let mut reached = BTreeSet::new();
    for n in 0..2 {
        let gradients = step(&mut seed, &x, 0.5);
        // Of a direction of length 1: what normalises zeros multiplies by 1 / sqrt(1e-5) = 316.
        let strongest = gradients.iter().map(|(_, most)| *most).fold(0.0, f64::max);
        assert!(n > 0 || strongest < 30.0, "{what}: gradients of {strongest} at birth");
        reached.extend(gradients.into_iter().filter(|(_, most)| *most > 0.0).map(|(name, _)| name));
        assert!(all.is_empty() || !reached.is_empty(), "{what} is dead at birth");
    }
    assert_eq!(reached, all, "{what}: reached by a gradient within two steps, of all");

    let eval = |seed: &mut SeedInstance| tch::no_grad(|| seed.forward(&x, &EVAL)).unwrap();
    let output = eval(&mut seed);
    assert!(finite(&output) && (all.is_empty() || !output.equal(&x)), "{what} has learnt");
    let mut again = build(entry, site, "", 2).unwrap();
    for (from, to) in seed.variables().unwrap().iter().zip(again.variables().unwrap()) {
        assert_eq!(from.name, to.name, "{what}");
        tch::no_grad(|| to.tensor.shallow_clone().copy_(&from.tensor));
    }
    let state = seed.state().unwrap();
    if !state.is_empty() {
        again.restore(&state, entry.record().state_version).unwrap();
    }
    assert!(eval(&mut again).equal(&output), "{what}: a copy gives another output");

    let _cast = Autocast::bf16(Device::Cpu).unwrap();
    let (half, mut fresh) = (x.to_kind(Dtype::BFloat16), build(entry, site, "", 1).unwrap());
    let born = well_formed(&mut fresh, &half, &format!("{what}, bf16"));
    assert!(
        !identity || born.to_kind(Dtype::BFloat16).equal(&half),
        "{what} is not the identity at birth in bf16"
    );
    drop(well_formed(&mut seed, &half, &format!("{what}, bf16, used")));
}

/// The whole catalogue at its default settings: one row for each blueprint, topology and width.
#[test]
fn every_blueprint_keeps_its_promises_wherever_it_serves() {
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
                judge(&entry, &site, &what);
                if topology == Topology::CNN {
                    let what = format!("{what}, channels-last");
                    judge(&entry, &site.with_layout(Layout::ChannelsLast), &what);
                }
            }
        }
    }
    insta::assert_snapshot!(text);
}

/// Settings that change what is built: the costs follow, and the same promises hold.
#[test]
fn what_settings_change_is_counted() {
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

/// What is wrong with a setting is said when a seed is built: which, and its value.
#[test]
fn settings_out_of_range_are_named() {
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

/// A seed of a language model that looks ahead would learn to copy. What comes later changes nothing before
/// it, to the bit, in a seed that has learnt.
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
            assert!(entry.id() == "noop" || most(&(&before - &x)) > 1e-3, "{} has learnt", entry.full_name());
            for position in [1, 4, 8] {
                let other = x.copy();
                let _ = other.narrow(1, position, 1).normal_(0.0, 3.0);
                let after = eval(&other);
                let what = format!("{} {config} at {position}", entry.full_name());
                let (past, was) = (after.narrow(1, 0, position), before.narrow(1, 0, position));
                assert!(past.equal(&was), "{what}: {} ahead", most(&(past - was)));
                assert!(!after.narrow(1, position, 1).equal(&before.narrow(1, position, 1)), "{what}");
            }
            if config.contains("window") {
                // Behind the window nothing of a position is left either.
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

/// By its bare id, in a host of its topology, in either precision: born without a trace, grown until it is
/// held.
#[test]
fn each_grows_in_a_host_of_its_topology() {
    let sequence = ModelConfig { host: "sequence".into(), ..config(&["layer0"], "contiguous") };
    let sequence = ModelConfig { host_config: String::new(), ..sequence };
    let hosts = [
        (Topology::CNN, config(&["block1"], "channels_last"), [16, 1, 8, 8].as_slice()),
        (Topology::TRANSFORMER, sequence, [16, 6, 3].as_slice()),
    ];
    let mut grown = Vec::new();
    for (topology, host, shape) in hosts {
        for precision in [Precision::Fp32, Precision::Bf16] {
            let config = ModelConfig { precision, task: easy(), ..host.clone() };
            for entry in blueprints() {
                // Blueprint files and modules have tests of their own; the control can never pass G2.
                let own = entry.record().topologies.contains(&topology.as_str().to_owned());
                if !own {
                    continue;
                }
                let mut bench = Bench::over(&config, shape);
                let alone = bench.loss(Mode::Eval);
                let slot = config.slots[0].as_str();
                bench.germinate(slot, entry.id(), "linear").unwrap();
                let (blueprint, _) = bench.model.slot(slot).unwrap().entries().unwrap();
                assert_eq!(blueprint.full_name(), entry.full_name(), "{topology}");
                bench.reach(Stage::Training);
                assert!(bench.model.reports()[0].stage < Stage::Blending);
                let trained = bench.loss(Mode::Eval);
                bench.reach(Stage::Holding);
                let held = bench.loss(Mode::Eval);
                assert!(held < trained && trained < alone, "{} {alone} {trained} {held}", entry.full_name());
                assert!(bench.model.reports()[0].healthy, "{:?}", bench.model.reports());
                assert!(bench.optimizer.skipped_steps().unwrap().values().all(|skipped| *skipped == 0));
                grown.push(format!("{} {}", entry.full_name(), precision.as_str()));
            }
        }
    }
    assert_eq!(grown.len(), 2 * (7 + 6), "{grown:?}");
}

/// Operators that would make the host wait, make anew what was made before, or move features to another
/// layout.
const IDLE: [&str; 6] = [
    "aten::_local_scalar_dense",
    "aten::nonzero",
    "aten::masked_select",
    "aten::arange",
    "aten::full",
    "aten::clone",
];

/// Lets kernels lie as a model settles them for channels-last features.
fn settle(seed: &SeedInstance) {
    for p in parameters(seed).into_iter().filter(|p| p.tensor.dim() == 4) {
        p.tensor.shallow_clone().set_data(&to_channels_last(&p.tensor.detach()).unwrap());
    }
}

/// What a step on a GPU would pay for, or could not be recorded for, is counted where it can be: in the
/// operators of a forward that has been made before, on features that lie as a host has them.
#[test]
fn a_forward_that_was_made_before_does_nothing_idle() {
    tch::set_num_threads(1);
    let _fork = RngFork::seeded(9).unwrap();
    for entry in blueprints() {
        for (topology, layout) in
            [(Topology::CNN, Layout::ChannelsLast), (Topology::TRANSFORMER, Layout::Contiguous)]
        {
            let site = Site::new(topology, 48).with_layout(layout);
            let seed = if entry.serves(topology) { build(&entry, &site, "", 1).ok() } else { None };
            let Some(mut seed) = seed else { continue };
            if layout == Layout::ChannelsLast {
                settle(&seed);
            }
            let x = features(&site).set_requires_grad(true);
            drop(seed.forward(&x, &TRAIN).unwrap());
            let counter = OpCounter::start().unwrap();
            drop(seed.forward(&x, &TRAIN).unwrap());
            let ops = counter.finish().unwrap();
            let idle: Vec<_> = IDLE.iter().filter(|op| ops.contains_key(**op)).collect();
            assert!(idle.is_empty(), "{} on {topology}: {idle:?} in {ops:?}", entry.full_name());
        }
    }
}

/// A seed that does not say otherwise is recorded as a CUDA graph, forward and backward, and a replay on
/// other features gives what running it on them gives.
#[test]
fn what_can_be_recorded_on_a_gpu_is_what_it_was_on_replay() {
    let Some(device) = gpu("what_can_be_recorded_on_a_gpu_is_what_it_was_on_replay") else { return };
    let _fork = RngFork::seeded(21).unwrap();
    let stream = Stream::new(device).unwrap();
    for entry in blueprints().into_iter().filter(|e| !e.declares(Capability::NotCapturable)) {
        for topology in [Topology::CNN, Topology::TRANSFORMER].into_iter().filter(|t| entry.serves(*t)) {
            for half in [false, true] {
                let layout =
                    if topology == Topology::CNN { Layout::ChannelsLast } else { Layout::Contiguous };
                let site = Site::new(topology, 64).with_layout(layout).with_device(device);
                let Ok(mut seed) = build(&entry, &site, "", 1) else { continue };
                if layout == Layout::ChannelsLast {
                    settle(&seed);
                }
                let what = format!("{} on {topology}, bf16 {half}", entry.full_name());
                let kind = if half { Dtype::BFloat16 } else { Dtype::Float };
                let draw = || features(&site).to_device(device).to_kind(kind);
                let direction = draw();
                let _on = stream.enter().unwrap();
                // Past birth, where the branch gives something.
                tch::no_grad(|| {
                    for p in parameters(&seed) {
                        let _ = p.tensor.shallow_clone().g_add_(&(p.tensor.randn_like() * 0.1));
                    }
                });
                let learning = parameters(&seed);
                let mut step = |x: &Tensor| {
                    let cast = half.then(|| Autocast::bf16(device).unwrap());
                    let output = seed.forward(x, &TRAIN).unwrap();
                    drop(cast);
                    clear_gradients(learning.iter().map(|p| &p.tensor).chain([x])).unwrap();
                    (&output * &direction).sum(Dtype::Float).backward();
                    let gradients = learning.iter().map(|p| p.tensor.grad()).chain([x.grad()]);
                    std::iter::once(output.detach()).chain(gradients).collect::<Vec<_>>()
                };
                let x = draw().set_requires_grad(true);
                for _ in 0..2 {
                    drop(step(&x));
                }
                let pool = Pool::new().unwrap();
                let recorded = Graph::capture(device, &pool, || Ok::<_, String>(step(&x)));
                let (mut graph, replayed) =
                    recorded.unwrap_or_else(|why| panic!("{what} is not recorded: {why:?}"));
                let other = draw();
                tch::no_grad(|| x.detach().copy_(&other));
                graph.replay().unwrap();
                let replayed: Vec<Tensor> = replayed.iter().map(Tensor::copy).collect();
                let eager = step(&other.set_requires_grad(true));
                synchronize(device).unwrap();
                if layout == Layout::ChannelsLast {
                    assert!(is_channels_last(&eager[0]).unwrap(), "{what}: {:?}", eager[0].stride());
                }
                for (n, (replayed, eager)) in replayed.iter().zip(&eager).enumerate() {
                    assert!(finite(eager), "{what}: {n}");
                    let far = distance(replayed, eager);
                    assert!(far < if half { 5e-2 } else { 1e-2 }, "{what}: tensor {n} is {far} away");
                }
            }
        }
    }
}
