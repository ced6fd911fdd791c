//! Builds the host `core::grafted` from the modules of `fixtures/script`.

use kasmina_plugin_api::abi::HostInstance;
use kasmina_plugin_api::{Kind as Part, PluginError, TapHandler};
use kasmina_registry::{Entry, Policy, Registry, RegistryError, SearchPath};
use kasmina_torch_ext::rng::RngFork;
use kasmina_torch_ext::script::Script;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use tch::{Device, Kind, Tensor};

const IMAGES: [i64; 4] = [4, 1, 8, 8];

pub(crate) fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/script").join(name).with_extension("pt")
}

pub(crate) fn script(name: &str) -> Script {
    Script::load(&std::fs::read(file(name)).unwrap(), Device::Cpu).unwrap()
}

/// The built-in host, from a registry without plugins.
pub(crate) fn entry() -> Entry {
    let registry = Registry::load(&SearchPath::empty(), &Policy::embedded()).unwrap();
    registry.resolve(Part::Host, "core::grafted").unwrap()
}

/// The host's configuration for a module of images, with further settings.
pub(crate) fn config(name: &str, more: &Value) -> String {
    let mut config = json!({ "module": file(name), "sample": [1, 8, 8] });
    config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    config.to_string()
}

pub(crate) fn build(name: &str, more: &Value) -> Result<HostInstance, PluginError> {
    build_from(&config(name, more))
}

pub(crate) fn build_from(config: &str) -> Result<HostInstance, PluginError> {
    entry().make_host(Device::Cpu, config).map_err(|error| match error {
        RegistryError::Build { error, .. } => error,
        RegistryError::Refused(refusal) => PluginError::config(format!(
            "{}: {} ({})",
            refusal.path.display(),
            refusal.found,
            refusal.rule.as_str()
        )),
        other => panic!("{other}"),
    })
}

pub(crate) fn names(host: &HostInstance) -> Vec<&str> {
    host.slots().iter().map(|slot| slot.name.as_str()).collect()
}

pub(crate) fn images() -> Tensor {
    let _fork = RngFork::seeded(5).unwrap();
    Tensor::randn(IMAGES, (Kind::Float, Device::Cpu))
}

pub(crate) fn tokens() -> Tensor {
    let _fork = RngFork::seeded(5).unwrap();
    Tensor::randint(17, [4, 6], (Kind::Int64, Device::Cpu))
}

/// Records slots and shapes, and returns the features unchanged.
#[derive(Default)]
pub(crate) struct RecordingTaps(pub(crate) Vec<(usize, Vec<i64>)>);

impl TapHandler for RecordingTaps {
    fn at(&mut self, slot: usize, x: Tensor) -> kasmina_plugin_api::Result<Tensor> {
        self.0.push((slot, x.size()));
        Ok(x)
    }
}

pub(crate) fn tensors(host: &HostInstance) -> BTreeMap<String, Tensor> {
    host.variables().unwrap().into_iter().map(|v| (v.name, v.tensor)).collect()
}
