//! Building and training seeds by hand.

use kasmina_declared::{Graph, GraphConfig};
use kasmina_plugin_api::prelude::*;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use tch::{Device, Kind};

/// The configuration that a text makes, or what is wrong with it.
pub(crate) fn read(source: &str, settings: &Value) -> Result<GraphConfig, String> {
    let config = json!({ "file": "gates.blueprint.toml", "source": source, "settings": settings });
    serde_json::from_value(config).map_err(|error| error.to_string())
}

pub(crate) fn site(topology: Topology, channels: i64) -> Site {
    Site::new(topology, channels)
}

/// Features as they come from a host: random, contiguous, isolated.
pub(crate) fn features(topology: Topology, channels: i64) -> Tensor {
    let shape = if topology == Topology::CNN { vec![3, channels, 6, 5] } else { vec![3, 7, channels] };
    Tensor::randn(shape.as_slice(), (Kind::Float, Device::Cpu))
}

/// A seed with its variables.
pub(crate) struct Grown {
    pub(crate) store: nn::VarStore,
    pub(crate) seed: Box<dyn Seed>,
}

impl Grown {
    pub(crate) fn new(config: GraphConfig, site: &Site) -> Result<Self> {
        let store = nn::VarStore::new(Device::Cpu);
        let seed = Graph::build(&store.root(), site, config)?;
        Ok(Self { store, seed })
    }

    pub(crate) fn forward(&mut self, x: &Tensor, mode: Mode) -> Tensor {
        self.seed.forward(x, &Cx::new(mode, 0, "slot")).unwrap()
    }

    /// The values of all trainable parameters.
    pub(crate) fn parameters(&self) -> BTreeMap<String, Tensor> {
        let named = self.store.variables().into_iter().filter(|(_, v)| v.requires_grad());
        named.map(|(name, v)| (name, v.detach().copy())).collect()
    }

    pub(crate) fn count(&self) -> u64 {
        self.store.trainable_variables().iter().map(|v| v.numel() as u64).sum()
    }

    /// One step of plain gradient descent towards some direction; answers with the names of what got a
    /// gradient that is not 0.
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

pub(crate) fn furthest(a: &Tensor, b: &Tensor) -> f64 {
    (a - b).abs().max().f_double_value(&[]).unwrap()
}
