//! Micro-benchmarks: parts of the framework, each compared with what it replaces. `cargo xtask bench`
//! computes their ratios.
#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark may panic")]
#![allow(clippy::disallowed_types, reason = "tch's own optimizer is the one that ours is compared with")]

use criterion::measurement::WallTime;
use criterion::{BatchSize, BenchmarkGroup, Criterion, criterion_group, criterion_main};
use kasmina::ModelConfig;
use kasmina::lifecycle::Stage;
use kasmina_plugin_api::{Cx, Mode, Site, Topology};
use kasmina_registry::survey::survey;
use kasmina_registry::{Origin, Policy, Registry, SearchPath};
use kasmina_tests::bench::{Bench, easy};
use kasmina_tests::fixture;
use kasmina_torch_ext::autograd::straight_through;
use kasmina_torch_ext::norm::grad_norm;
use kasmina_torch_ext::optim::{AdamW, Algorithm, Optimizer, Sgd};
use kasmina_torch_ext::{Change, NamedParameter, ParameterSink, Role};
use std::hint::black_box;
use std::time::Duration;
use tch::nn::{self, OptimizerConfig};
use tch::{Device, Kind, Tensor};

/// A group of benchmarks, on one thread.
fn group<'c>(c: &'c mut Criterion, name: &str) -> BenchmarkGroup<'c, WallTime> {
    tch::set_num_threads(1);
    let mut group = c.benchmark_group(name);
    group
        .warm_up_time(Duration::from_millis(400))
        .measurement_time(Duration::from_millis(1500))
        .sample_size(30);
    group
}

fn features(shape: &[i64]) -> Tensor {
    Tensor::randn(shape, (Kind::Float, Device::Cpu))
}

/// A call through the plugin interface, and the same call within one crate.
fn plugin_call(c: &mut Criterion) {
    let registry = Registry::built_in().unwrap();
    registry.load_file(&fixture("graphs")).unwrap();
    let entry = registry.resolve(kasmina_plugin_api::Kind::Blueprint, "handle").unwrap();
    let mut seed = entry.make_seed(&Site::new(Topology::CNN, 8), "").unwrap();
    let x = features(&[4, 8, 4, 4]);
    let cx = Cx::new(Mode::Train, 0, "early");
    let mut direct: Box<dyn kasmina_plugin_api::Seed> = Box::new(Direct);
    let mut group = group(c, "plugin call");
    group.bench_function("through the plugin interface", |b| {
        b.iter(|| seed.forward(black_box(&x), &cx).unwrap());
    });
    group.bench_function("direct", |b| b.iter(|| direct.forward(black_box(&x), &cx).unwrap()));
}

struct Direct;
impl kasmina_plugin_api::Seed for Direct {
    fn forward(&mut self, x: &Tensor, _: &Cx<'_>) -> kasmina_plugin_api::Result<Tensor> {
        Ok(x.shallow_clone())
    }
}

/// A forward through 64 dormant slots.
fn tap(c: &mut Criterion) {
    let slots = (0..64).map(|i| format!("door{i}")).collect();
    let config = ModelConfig { host: "corridor".into(), slots, ..ModelConfig::default() };
    let registry = kasmina_tests::registry(&["graphs"]);
    let mut bench = Bench::on(registry, &config, &[2, 1, 2, 2], Optimizer::new(AdamW::default(), 1e-3));
    let Bench { model, x, .. } = &mut bench;
    let _no_grad = tch::no_grad_guard();
    let mut group = group(c, "tap");
    group.bench_function("64 dormant", |b| b.iter(|| model.forward(x, Mode::Train).unwrap()));
}

/// Forward and backward. Both sides contain the sum that starts the backward pass; `carrier` measures it
/// alone.
fn estimator(c: &mut Criterion) {
    let shape = [32, 64, 16, 16];
    let (host, seed) = (features(&shape).set_requires_grad(true), features(&shape).set_requires_grad(true));
    let to = [&host, &seed];
    let backward = |out: Tensor| Tensor::run_backward(&[out.sum(Kind::Float)], &to, false, false);
    let mut group = group(c, "straight-through");
    group.bench_function("zero-copy", |b| b.iter(|| backward(straight_through(&host, &seed).unwrap())));
    group.bench_function("carrier", |b| {
        b.iter(|| Tensor::run_backward(&[host.view_as(&host).sum(Kind::Float)], &[&host], false, false));
    });
    group.bench_function("naive", |b| b.iter(|| backward(&host + (&seed - seed.detach()))));
}

fn blend(c: &mut Criterion) {
    let registry = kasmina_tests::registry(&[]);
    let entry = registry.resolve(kasmina_plugin_api::Kind::Blend, "linear").unwrap();
    let mut linear = entry.make_blend(&Site::new(Topology::CNN, 64), "").unwrap();
    let (host, seed) = (features(&[32, 64, 16, 16]), features(&[32, 64, 16, 16]));
    let alpha = Tensor::full([], 0.5, (Kind::Float, Device::Cpu));
    let cx = Cx::new(Mode::Train, 0, "early");
    let mut group = group(c, "lerp");
    group.bench_function("blend", |b| b.iter(|| linear.mix(&host, &seed, &alpha, &cx).unwrap()));
    group.bench_function("bare", |b| b.iter(|| host.lerp_tensor(&seed, &alpha)));
}

/// 18 tensors with the shapes of three small seeds and their host.
fn parameters(vars: &nn::Path<'_>) -> Vec<Tensor> {
    let shapes = [vec![16, 16, 3, 3], vec![16], vec![16], vec![1, 16, 1, 1], vec![10, 16], vec![10]];
    let all = shapes.iter().cycle().take(18).enumerate();
    all.map(|(i, shape)| vars.zeros(&format!("p{i}"), shape)).collect()
}

/// The optimizer step alone; gradients are computed outside the measured time.
fn optimizer(c: &mut Criterion, name: &str, ours: Algorithm, theirs: impl OptimizerConfig) {
    let mut group = group(c, name);
    let vars = nn::VarStore::new(Device::Cpu);
    let all = parameters(&vars.root());
    let mut optimizer = Optimizer::new(ours, 1e-3);
    let named = all.iter().enumerate();
    let named =
        named.map(|(i, t)| NamedParameter { name: i.to_string(), tensor: t.shallow_clone() }).collect();
    let change = Change::Add { owner: "all".into(), role: Role::Host, parameters: named };
    let ticket = optimizer.prepare(change).unwrap();
    optimizer.commit(ticket);
    let loss =
        |all: &[Tensor]| all.iter().map(|p| (p * p + p).sum(Kind::Float)).reduce(|a, b| a + b).unwrap();
    group.bench_function("fused", |b| {
        b.iter_batched(|| loss(&all).backward(), |()| optimizer.step().unwrap(), BatchSize::PerIteration);
    });
    let vars = nn::VarStore::new(Device::Cpu);
    let all = parameters(&vars.root());
    let mut optimizer = theirs.build(&vars, 1e-3).unwrap();
    group.bench_function("nn", |b| {
        let prepare = || {
            optimizer_zero(&all);
            loss(&all).backward();
        };
        b.iter_batched(prepare, |()| optimizer.step(), BatchSize::PerIteration);
    });
}

fn optimizer_zero(all: &[Tensor]) {
    kasmina_torch_ext::norm::clear_gradients(all).unwrap();
}

fn optimizers(c: &mut Criterion) {
    optimizer(c, "adamw, 18 tensors", AdamW::default().into(), nn::AdamW::default());
    optimizer(c, "sgd, 18 tensors", Sgd::default().into(), nn::sgd(0.9, 0.0, 0.0, false));
}

fn telemetry(c: &mut Criterion) {
    let vars = nn::VarStore::new(Device::Cpu);
    let all = parameters(&vars.root());
    all.iter().map(|p| (p * p + p).sum(Kind::Float)).reduce(|a, b| a + b).unwrap().backward();
    let mut group = group(c, "gradient telemetry");
    group.bench_function("measured", |b| b.iter(|| grad_norm(&all).unwrap()));
    group.bench_function("norms one by one", |b| {
        b.iter(|| Tensor::stack(&all.iter().map(|p| p.grad().norm()).collect::<Vec<_>>(), 0).norm());
    });
}

fn model(slots: &[&str]) -> Bench {
    let config = ModelConfig {
        host: "cnn".into(),
        host_config: r#"{"in_channels": 1, "base_channels": 8}"#.into(),
        slots: slots.iter().map(ToString::to_string).collect(),
        task: easy(),
        ..ModelConfig::default()
    };
    let optimizer = Optimizer::new(AdamW::default(), 1e-3);
    Bench::on(kasmina_tests::registry(&[]), &config, &[64, 1, 16, 16], optimizer)
}

const SLOTS: [&str; 3] = ["early", "mid", "late"];

fn forward(c: &mut Criterion) {
    let (mut dormant, mut alone) = (model(&SLOTS), model(&[]));
    let _no_grad = tch::no_grad_guard();
    let mut group = group(c, "forward, 3 dormant");
    for (name, bench) in [("model", &mut dormant), ("alone", &mut alone)] {
        let Bench { model, x, .. } = bench;
        group.bench_function(name, |b| b.iter(|| model.forward(x, Mode::Eval).unwrap()));
    }
}

fn counterfactual(c: &mut Criterion) {
    let mut bench = model(&SLOTS);
    for slot in SLOTS {
        bench.germinate(slot, "conv_light", "linear").unwrap();
    }
    bench.reach(Stage::Holding);
    let Bench { model, x, .. } = &mut bench;
    let plan = model.counterfactual_plan();
    assert_eq!(plan.variants(), 4);
    let _no_grad = tch::no_grad_guard();
    let mut group = group(c, "counterfactual, 3 seeds");
    group.bench_function("batched", |b| b.iter(|| model.forward_counterfactual(x, &plan).unwrap()));
    group.bench_function("validation", |b| b.iter(|| model.forward(x, Mode::Eval).unwrap()));
}

fn structure(c: &mut Criterion) {
    let mut group = group(c, "change of structure");
    group.sample_size(10);
    group.bench_function("germinate", |b| {
        let fresh = || {
            let mut bench = model(&SLOTS);
            // A run probes each seed once, so the probe is not measured.
            let germinate = kasmina::model::Germinate::new("mid", "first", "conv_light", "linear");
            bench.model.prewarm(&germinate, &bench.registry).unwrap();
            bench
        };
        b.iter_batched_ref(
            fresh,
            |m| m.germinate("mid", "conv_light", "linear").unwrap(),
            BatchSize::PerIteration,
        );
    });
    group.bench_function("prune", |b| {
        let grown = || {
            let mut bench = model(&SLOTS);
            bench.germinate("mid", "conv_light", "linear").unwrap();
            bench
        };
        let prune = kasmina::Command::Prune { slot: "mid".into(), reason: "to measure".into() };
        b.iter_batched_ref(grown, |bench| bench.execute(&prune).unwrap(), BatchSize::PerIteration);
    });
}

fn plugins(c: &mut Criterion) {
    let dir = tempfile::tempdir().unwrap();
    let mut next = 0_u32;
    let mut copy = || {
        next += 1;
        let to = dir.path().join(format!("libplugin{next}.so"));
        let mut bytes = std::fs::read(kasmina_tests::shipped("kasmina_blends")).unwrap();
        // Different bytes, because a library that is already mapped costs nothing.
        bytes.extend(next.to_le_bytes());
        std::fs::write(&to, bytes).unwrap();
        to
    };
    let (shelf, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for i in 0..200 {
        // Each plugin needs its own name, otherwise the first shadows the rest.
        let (from, to) = (br#""name":"kasmina_blends""#, format!("\"name\":\"kasmina_bl{i:04}\""));
        let mut bytes = std::fs::read(copy()).unwrap();
        let at = bytes.windows(from.len()).position(|w| w == from).unwrap();
        bytes[at..at + from.len()].copy_from_slice(to.as_bytes());
        std::fs::write(shelf.path().join(format!("lib{i}.so")), bytes).unwrap();
    }
    let known = kasmina_tests::registry(&[]).entries();
    let of = |plugin: &str| known.iter().filter(|entry| entry.plugin().name == plugin).count();
    let all = 200 * of("kasmina_blends") + of("core");
    let mut path = SearchPath::empty();
    path.extend([shelf.path().to_owned()], Origin::Named);
    let policy = Policy::embedded().with_state(state.path());
    let mut group = group(c, "plugins");
    group.sample_size(10).measurement_time(Duration::from_secs(1));
    // Like the second call of `kasmina plugins list`: records are read, hashes are cached, and nothing is
    // opened.
    group.bench_function("list 200", |b| {
        b.iter(|| {
            let listing = survey(&path, &policy).unwrap().listing().unwrap();
            assert_eq!(listing.entries.len(), all);
        });
    });
    // All of loading a file except the probe: read, hash, verify, copy, open, compare layouts, init, list.
    group.bench_function("load one", |b| {
        let fresh = || (Registry::built_in().unwrap(), copy());
        b.iter_batched_ref(
            fresh,
            |(registry, file)| registry.load_file(file).unwrap(),
            BatchSize::PerIteration,
        );
    });
}

criterion_group!(
    benches,
    plugin_call,
    tap,
    estimator,
    blend,
    optimizers,
    telemetry,
    forward,
    counterfactual,
    structure,
    plugins
);
criterion_main!(benches);
