//! Builds and trains seeds of the shipped blueprints.

use kasmina_plugin_api::abi::{SeedInstance, Variable};
use kasmina_plugin_api::{Cx, ErrorKind, Kind, Layout, Mode, Site, Topology};
use kasmina_registry::{Entry, RegistryError};
use kasmina_tests::registry;
use kasmina_torch_ext::autograd::to_channels_last;
use kasmina_torch_ext::norm::clear_gradients;
use kasmina_torch_ext::rng::RngFork;
use tch::{Device, Kind as Dtype, Tensor};

pub(crate) const TRAIN: Cx<'static> = Cx::new(Mode::Train, 0, "catalogue");
pub(crate) const EVAL: Cx<'static> = Cx::new(Mode::Eval, 0, "catalogue");

pub(crate) fn blueprints() -> Vec<Entry> {
    registry(&[]).entries().into_iter().filter(|entry| entry.kind() == Kind::Blueprint).collect()
}

/// Builds a seed, or returns why the blueprint refuses the site or the configuration.
pub(crate) fn build(entry: &Entry, site: &Site, config: &str, seed: u64) -> Result<SeedInstance, String> {
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

pub(crate) fn features(site: &Site) -> Tensor {
    let c = site.channels();
    let shape = if site.topology() == Topology::CNN { vec![2, c, 6, 6] } else { vec![2, 5, c] };
    let x = Tensor::randn(shape, (Dtype::Float, Device::Cpu)) * 2.0 + 0.5;
    match site.layout() {
        Layout::ChannelsLast => to_channels_last(&x).unwrap(),
        Layout::Contiguous => x,
    }
}

pub(crate) fn parameters(seed: &SeedInstance) -> Vec<Variable> {
    seed.variables().unwrap().into_iter().filter(|variable| variable.trainable).collect()
}

pub(crate) fn largest_magnitude(tensor: &Tensor) -> f64 {
    tensor.detach().abs().max().double_value(&[])
}

pub(crate) fn is_finite(tensor: &Tensor) -> bool {
    tensor.detach().isfinite().all().int64_value(&[]) != 0
}

/// Stores convolution kernels as a model does for channels-last features.
pub(crate) fn apply_channels_last(seed: &SeedInstance) {
    for p in parameters(seed).into_iter().filter(|p| p.tensor.dim() == 4) {
        p.tensor.shallow_clone().set_data(&to_channels_last(&p.tensor.detach()).unwrap());
    }
}

/// Takes one step of plain gradient descent along a random direction of length 1. Returns the largest
/// magnitude of each parameter's gradient.
pub(crate) fn step(seed: &mut SeedInstance, x: &Tensor, rate: f64) -> Vec<(String, f64)> {
    let parameters = parameters(seed);
    clear_gradients(parameters.iter().map(|p| &p.tensor)).unwrap();
    let output = seed.forward(x, &TRAIN).unwrap();
    if parameters.is_empty() {
        return Vec::new();
    }
    let direction = output.detach().randn_like();
    let direction = &direction / direction.norm();
    (output * direction).sum(Dtype::Float).backward();
    let update = |p: &Variable| {
        let gradient = p.tensor.grad();
        if !gradient.defined() {
            return (p.name.clone(), 0.0);
        }
        assert!(is_finite(&gradient), "the gradient of {}", p.name);
        tch::no_grad(|| drop(p.tensor.shallow_clone().subtract_(&(&gradient * rate))));
        (p.name.clone(), largest_magnitude(&gradient))
    };
    parameters.iter().map(update).collect()
}
