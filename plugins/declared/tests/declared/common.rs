//! Helpers that build and train seeds without a host.

use kasmina_declared::{Graph, GraphConfig};
use kasmina_plugin_api::prelude::*;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use tch::{Device, Kind};

/// Reads a configuration from the text of a document, or returns the error message.
pub(crate) fn read(source: &str, settings: &Value) -> Result<GraphConfig, String> {
    let config = json!({ "file": "gates.blueprint.toml", "source": source, "settings": settings });
    serde_json::from_value(config).map_err(|error| error.to_string())
}

pub(crate) fn site(topology: Topology, channels: i64) -> Site {
    Site::new(topology, channels)
}

/// Returns features as a host passes them to an isolated seed: random and contiguous.
pub(crate) fn features(topology: Topology, channels: i64) -> Tensor {
    let shape = if topology == Topology::CNN { vec![3, channels, 6, 5] } else { vec![3, 7, channels] };
    Tensor::randn(shape.as_slice(), (Kind::Float, Device::Cpu))
}

/// A seed with its variables.
pub(crate) struct TestSeed {
    pub(crate) store: nn::VarStore,
    pub(crate) seed: Box<dyn Seed>,
}

impl TestSeed {
    pub(crate) fn new(config: GraphConfig, site: &Site) -> Result<Self> {
        let store = nn::VarStore::new(Device::Cpu);
        let seed = Graph::build(&store.root(), site, config)?;
        Ok(Self { store, seed })
    }

    pub(crate) fn forward(&mut self, x: &Tensor, mode: Mode) -> Tensor {
        self.seed.forward(x, &Cx::new(mode, 0, "slot")).unwrap()
    }

    /// Returns copies of all trainable parameters by name.
    pub(crate) fn parameters(&self) -> BTreeMap<String, Tensor> {
        let named = self.store.variables().into_iter().filter(|(_, v)| v.requires_grad());
        named.map(|(name, v)| (name, v.detach().copy())).collect()
    }

    pub(crate) fn count(&self) -> u64 {
        self.store.trainable_variables().iter().map(|v| v.numel() as u64).sum()
    }

    /// Makes one step of gradient descent in a random direction, and returns the names of the parameters
    /// that had a non-zero gradient.
    pub(crate) fn step(&mut self, x: &Tensor) -> Vec<String> {
        let out = self.forward(x, Mode::Train);
        (out * Tensor::randn_like(x)).mean(None).backward();
        let mut moved = Vec::new();
        for (name, mut variable) in self.store.variables().into_iter().filter(|(_, v)| v.requires_grad()) {
            let mut gradient = variable.grad();
            if gradient.defined() && gradient.abs().max().f_double_value(&[]).unwrap() > 0.0 {
                let _ = tch::no_grad(|| variable.f_sub_(&(&gradient * 0.5)).unwrap());
                let _ = gradient.zero_();
                moved.push(name);
            }
        }
        moved.sort();
        moved
    }
}

/// Returns the largest absolute difference.
pub(crate) fn max_difference(a: &Tensor, b: &Tensor) -> f64 {
    (a - b).abs().max().f_double_value(&[]).unwrap()
}
