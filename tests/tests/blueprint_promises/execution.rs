//! Operators of a forward, and its capture as a CUDA graph.

use crate::seeds::{TRAIN, apply_channels_last, blueprints, build, features, is_finite, parameters};
use kasmina_plugin_api::{Capability, Layout, Site, Topology};
use kasmina_tests::bench::distance;
use kasmina_tests::gpu;
use kasmina_torch_ext::autocast::Autocast;
use kasmina_torch_ext::autograd::is_channels_last;
use kasmina_torch_ext::cuda::graph::{Graph, Pool};
use kasmina_torch_ext::cuda::{Stream, synchronize};
use kasmina_torch_ext::norm::clear_gradients;
use kasmina_torch_ext::ops::OpCounter;
use kasmina_torch_ext::rng::RngFork;
use tch::{Kind as Dtype, Tensor};

/// Operators that a repeated forward must not run: they wait for the device, recreate constants, or copy
/// features to another layout.
const AVOIDABLE: [&str; 6] = [
    "aten::_local_scalar_dense",
    "aten::nonzero",
    "aten::masked_select",
    "aten::arange",
    "aten::full",
    "aten::clone",
];

/// Counts operators that cost time in a GPU step or prevent its capture, on the CPU: in a seed's second
/// forward, on features in the host's layout.
#[test]
fn a_repeated_forward_runs_no_avoidable_operator() {
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
                apply_channels_last(&seed);
            }
            let x = features(&site).set_requires_grad(true);
            drop(seed.forward(&x, &TRAIN).unwrap());
            let counter = OpCounter::start().unwrap();
            drop(seed.forward(&x, &TRAIN).unwrap());
            let ops = counter.finish().unwrap();
            let avoidable: Vec<_> = AVOIDABLE.iter().filter(|op| ops.contains_key(**op)).collect();
            assert!(avoidable.is_empty(), "{} on {topology}: {avoidable:?} in {ops:?}", entry.full_name());
        }
    }
}

/// Each seed that is not declared `not_capturable` can be captured as a CUDA graph, forward and backward, and
/// a replay on other features computes what eager execution computes.
#[test]
fn a_captured_seed_replays_what_eager_execution_computes() {
    let Some(device) = gpu("a_captured_seed_replays_what_eager_execution_computes") else { return };
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
                    apply_channels_last(&seed);
                }
                let what = format!("{} on {topology}, bf16 {half}", entry.full_name());
                let kind = if half { Dtype::BFloat16 } else { Dtype::Float };
                let draw = || features(&site).to_device(device).to_kind(kind);
                let direction = draw();
                let _on = stream.enter().unwrap();
                // Away from the initial values, where the branch contributes nothing.
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
                    recorded.unwrap_or_else(|why| panic!("{what} is not captured: {why:?}"));
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
                    assert!(is_finite(eager), "{what}: {n}");
                    let far = distance(replayed, eager);
                    assert!(far < if half { 5e-2 } else { 1e-2 }, "{what}: tensor {n} is {far} away");
                }
            }
        }
    }
}
