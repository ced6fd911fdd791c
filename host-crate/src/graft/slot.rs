//! One slot: its lifecycle, and the seed that lives in it.

use super::telemetry::Telemetry;
use crate::lifecycle::{Lifecycle, Settings};
use kasmina_plugin_api::abi::{BlendInstance, SeedInstance};
use kasmina_plugin_api::{Layout, PluginError, Site, SlotSpec};
use kasmina_registry::Entry;
use kasmina_torch_ext::NamedParameter;
use kasmina_torch_ext::rng::RngStream;
use tch::{Device, Kind, Tensor};

/// What flows through a slot, seen in a real forward of the host.
#[derive(Debug, Clone, PartialEq)]
pub struct Features {
    /// Shape of one sample.
    pub shape: Vec<i64>,
    /// Their dtype.
    pub dtype: Kind,
    /// How they lie in memory.
    pub layout: Layout,
    /// Where they are.
    pub device: Device,
}

/// A seed that lives: instances, handles on their parameters, and alpha on the device.
#[derive(Debug)]
pub(crate) struct LiveSeed {
    pub(crate) seed: SeedInstance,
    pub(crate) blend: BlendInstance,
    pub(crate) blueprint: Entry,
    pub(crate) blend_entry: Entry,
    /// 0-dim, written only between steps.
    pub(crate) alpha: Tensor,
    pub(crate) alpha_value: f64,
    /// Trainable, named `slot.<slot>.seed.<n>` and `slot.<slot>.blend.<n>`, sorted.
    pub(crate) seed_parameters: Vec<NamedParameter>,
    pub(crate) blend_parameters: Vec<NamedParameter>,
    /// Stochastic seeds draw from here.
    pub(crate) stream: Option<RngStream>,
}

/// A point of the host where one seed may live at a time. It may move between threads and is used by one.
#[derive(Debug)]
pub struct SeedSlot {
    pub(crate) spec: SlotSpec,
    pub(crate) features: Features,
    pub(crate) lifecycle: Lifecycle,
    pub(crate) live: Option<LiveSeed>,
    pub(crate) telemetry: Telemetry,
}

impl SeedSlot {
    pub(crate) fn new(spec: SlotSpec, features: Features, settings: Settings) -> Self {
        let lifecycle = Lifecycle::new(spec.name.clone(), spec.topology, settings);
        Self { spec, features, lifecycle, live: None, telemetry: Telemetry::default() }
    }

    /// The slot's own name.
    pub fn name(&self) -> &str {
        &self.spec.name
    }
    /// Whether this is its name or one of its aliases.
    pub fn answers_to(&self, name: &str) -> bool {
        self.spec.answers_to(name)
    }
    /// What the host declares of it.
    pub fn spec(&self) -> &SlotSpec {
        &self.spec
    }
    /// What flows through it.
    pub fn features(&self) -> &Features {
        &self.features
    }
    /// Where its seed stands.
    pub fn lifecycle(&self) -> &Lifecycle {
        &self.lifecycle
    }
    /// Where a seed would be built.
    pub fn site(&self) -> Site {
        Site::new(self.spec.topology, self.spec.channels)
            .with_layout(self.features.layout)
            .with_device(self.features.device)
            .with_dtype(self.features.dtype)
    }
    /// The blueprint, blend and builds of the seed that lives here.
    pub fn entries(&self) -> Option<(&Entry, &Entry)> {
        self.live.as_ref().map(|l| (&l.blueprint, &l.blend_entry))
    }
    /// Its trainable parameters, the seed's then the blend's, sorted by name.
    pub fn parameters(&self) -> impl Iterator<Item = &NamedParameter> {
        self.live.iter().flat_map(|l| l.seed_parameters.iter().chain(&l.blend_parameters))
    }

    /// Writes alpha to the device if the lifecycle has moved it. Between steps only.
    pub(crate) fn sync_alpha(&mut self) -> Result<(), PluginError> {
        let alpha = self.lifecycle.alpha();
        if let Some(live) = self.live.as_mut().filter(|l| l.alpha_value != alpha) {
            let _ = live.alpha.f_fill_(alpha)?;
            live.alpha_value = alpha;
        }
        Ok(())
    }
}
