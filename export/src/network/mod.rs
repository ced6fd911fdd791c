//! A saved network, ready to be used.

mod body;
mod context;
mod parts;
mod slot;
mod taps;
mod weights;

use crate::content::MODULE;
use crate::exported::Exported;
use crate::names::Names;
use crate::stored::Stored;
use crate::{ExportError, SeedInSlot, Source, Structure};
use body::Body;
pub(crate) use context::Context;
use kasmina::model::ModelError;
use kasmina::state::EntryName;
use kasmina_checkpoint::Tensors;
use kasmina_plugin_api::{Kind, PluginError, Site, Topology};
use kasmina_registry::{Entry, Policy, Registry, RegistryError, SearchPath};
use kasmina_trainer::run::{Choice, SavedNetwork};
use kasmina_trainer::task::Interface;
pub(crate) use slot::OccupiedSlot;
use std::path::Path;
use taps::Taps;
use tch::{Device, Tensor};
use weights::Weights;

/// A saved network, ready to be used: the host with its seeds in their places, without slots, gates and
/// measurements. One thread uses it at a time.
#[derive(Debug)]
pub struct Network {
    host: Body,
    host_name: String,
    /// In the order of the host's slots; `None` for one without a seed.
    slots: Vec<Option<OccupiedSlot>>,
    interface: Interface,
    device: Device,
}

/// What a network is built from.
struct Plan<'a> {
    structure: &'a Structure,
    names: Names,
    tensors: &'a Tensors,
    path: &'a Path,
    /// Number of training steps, which seeds and blends may read.
    step: u64,
    interface: &'a Interface,
}

impl Network {
    /// Loads the network of a run, a checkpoint or an export to the CPU, with the plugins of the standard
    /// search path that the user trusts.
    ///
    /// # Errors
    /// If there is no network, a plugin of it is missing or refused, or a tensor does not fit.
    pub fn load(path: &Path) -> Result<Self, ExportError> {
        let source = Source::open(path, Choice::Last)?;
        let policy = source.run().into_iter().fold(Policy::standard(), Policy::keeping_copies);
        let registry = Registry::load(&SearchPath::standard(&[]), &policy)?;
        Self::of(&source, &registry, Device::Cpu)
    }

    /// Builds a saved network on a device.
    ///
    /// # Errors
    /// If a plugin of the network is missing or refused, or a tensor does not fit.
    pub fn of(source: &Source, registry: &Registry, device: Device) -> Result<Self, ExportError> {
        match source {
            Source::Checkpoint(saved) => Self::of_checkpoint(saved, registry, device),
            Source::Export(export) => {
                let record = export.record();
                let (tensors, names) = match export.stored() {
                    Stored::Weights(tensors, names) => (tensors, names.clone()),
                    Stored::Module(archive) => return Self::of_module(export, archive, registry, device),
                };
                let plan = Plan {
                    structure: &record.structure,
                    names,
                    tensors,
                    path: export.folder(),
                    step: record.step,
                    interface: export.interface(),
                };
                Self::build(plan, device, &|kind, name| registry.resolve(kind, &name.full_name()))
            }
        }
    }

    /// Loads a TorchScript module, which is code that somebody wrote.
    fn of_module(
        export: &Exported,
        archive: &[u8],
        registry: &Registry,
        device: Device,
    ) -> Result<Self, ExportError> {
        let path = export.folder().join(MODULE);
        check_interface(export.interface(), export.folder())?;
        let sha256 = kasmina_files::sha256_of([archive]);
        if !registry.policy().vouches_for(&sha256) {
            return Err(ExportError::Untrusted { path });
        }
        let host = Body::load(archive, device).map_err(|error| match error {
            kasmina_torch_ext::Error::Torch(reason) => ExportError::Read { path: path.clone(), reason },
            other => other.into(),
        })?;
        registry.policy().record(&sha256);
        let (host_name, interface) = (path.display().to_string(), export.interface().clone());
        Ok(Self { host, host_name, slots: Vec::new(), interface, device })
    }

    pub(crate) fn of_checkpoint(
        saved: &SavedNetwork,
        registry: &Registry,
        device: Device,
    ) -> Result<Self, ExportError> {
        Self::of_parts(saved, registry, device, (&Structure::of(saved, registry)?, saved.weights()))
    }

    /// Builds a network of a checkpoint that may have fewer seeds and other weights than the checkpoint. The
    /// weights have the names of a checkpoint.
    pub(crate) fn of_parts(
        saved: &SavedNetwork,
        registry: &Registry,
        device: Device,
        (structure, tensors): (&Structure, &Tensors),
    ) -> Result<Self, ExportError> {
        let builds = saved.builds(registry);
        let plan = Plan {
            structure,
            names: Names::saved(structure),
            tensors,
            path: saved.path(),
            step: saved.about().step,
            interface: saved.interface()?,
        };
        Self::build(plan, device, &|kind, name| builds.resolve(kind, name))
    }

    fn build(
        plan: Plan<'_>,
        device: Device,
        resolve: &dyn Fn(Kind, &EntryName) -> Result<Entry, RegistryError>,
    ) -> Result<Self, ExportError> {
        let Plan { structure, names, tensors, path, step, interface } = plan;
        check_interface(interface, path)?;
        let weights = Weights::new(tensors, path);
        let part = &structure.host;
        let mut host = resolve(Kind::Host, &part.entry)?.make_host(device, &part.config_text())?;
        weights.fill(&names.host, host.variables()?)?;
        if !part.state.is_empty() {
            host.restore(&part.state, part.state_version)?;
        }
        let mut slots: Vec<Option<OccupiedSlot>> = host.slots().iter().map(|_| None).collect();
        for (seed, (seed_prefix, blend_prefix)) in structure.seeds.iter().zip(&names.seeds) {
            let unknown = || ExportError::Read {
                path: path.to_owned(),
                reason: format!("its host has no slot `{}` of {} channels", seed.slot, seed.channels),
            };
            let index = host.slots().iter().position(|spec| spec.name == seed.slot).ok_or_else(unknown)?;
            if host.slots()[index].channels != seed.channels {
                return Err(unknown());
            }
            let site = site_of(seed, device);
            let slot = OccupiedSlot::new(seed, &site, step, resolve)?;
            slot.fill(&weights, seed_prefix, blend_prefix.as_deref())?;
            slots[index] = Some(slot);
        }
        let (host_name, interface) = (part.entry.full_name(), interface.clone());
        Ok(Self { host: Body::Host(host), host_name, slots, interface, device })
    }

    /// Returns what the network reads and predicts.
    pub fn interface(&self) -> &Interface {
        &self.interface
    }

    /// Returns the device that the network is on.
    pub fn device(&self) -> Device {
        self.device
    }

    /// Converts all weights of a floating point type to another one, such as `BFloat16`. Inputs and outputs
    /// follow.
    ///
    /// # Errors
    /// If a plugin fails, or the network is a TorchScript module, which keeps its type.
    pub fn cast(&mut self, kind: tch::Kind) -> Result<(), ExportError> {
        let mut variables = self.host.variables()?.ok_or(ExportError::FixedType)?;
        for slot in self.slots.iter().flatten() {
            variables.extend(slot.variables()?);
        }
        for variable in variables.iter_mut().filter(|variable| variable.tensor.is_floating_point()) {
            let converted = variable.tensor.f_detach()?.f_to_kind(kind)?;
            variable.tensor.set_data(&converted);
        }
        Ok(())
    }

    /// Computes the output for a batch, without gradients.
    ///
    /// # Shapes
    /// Images `[N, C, H, W]` give logits `[N, classes]`, tokens `[N, T]` logits `[N, T, vocabulary]`. The
    /// batch lies on the device of the network.
    ///
    /// # Errors
    /// If the shape does not fit, or a plugin fails.
    pub fn forward(&mut self, x: &Tensor) -> Result<Tensor, ModelError> {
        self.forward_plain(x).map_err(|error| self.failed(error))
    }

    /// As [`forward`](Self::forward), with the error of the plugin.
    pub(crate) fn forward_plain(&mut self, x: &Tensor) -> Result<Tensor, PluginError> {
        let _no_grad = tch::no_grad_guard();
        let mut taps = Taps::new(&mut self.slots);
        let output = self.host.forward(x, &mut taps);
        taps.finish(output)
    }

    fn failed(&self, error: PluginError) -> ModelError {
        ModelError::Forward { host: self.host_name.clone(), error }
    }
}

fn check_interface(interface: &Interface, path: &Path) -> Result<(), ExportError> {
    interface.check().map_err(|reason| ExportError::Read { path: path.to_owned(), reason })
}

fn site_of(seed: &SeedInSlot, device: Device) -> Site {
    Site::new(Topology::from_name(&seed.topology), seed.channels).with_device(device)
}
