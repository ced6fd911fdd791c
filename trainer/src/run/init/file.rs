//! Reading the weights of a file by the names of the host.

use super::names::{HostName, Naming};
use crate::config::WeightNames;
use crate::error::TrainError;
use crate::run::checkpoint::{Choice, SavedNetwork, tensor_of};
use kasmina_checkpoint::{CheckpointError, TensorView, Tensors};
use kasmina_files::{limit, read};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use tch::Tensor;

/// Name of the file of weights in checkpoints and exports.
const WEIGHTS: &str = "model.safetensors";

/// The weights of a file, by the names of the host.
#[derive(Debug)]
pub struct NamedWeights {
    tensors: Tensors,
    /// For each name in the host, the name in the file, and whether the file exchanges its dimensions.
    names: BTreeMap<String, (String, bool)>,
}

impl NamedWeights {
    /// Reads a safetensors file, or the weights of a run, a checkpoint or an export.
    ///
    /// # Errors
    /// If there are no weights, or they are damaged.
    pub fn read(path: &Path, names: WeightNames) -> Result<Self, TrainError> {
        let file = weights_file(path)?;
        let wrong = |reason: String| TrainError::Weights { path: file.clone(), reason };
        let bytes = read(&file, limit::WEIGHTS).map_err(|error| wrong(error.to_string()))?;
        let tensors = Tensors::parse(&file, bytes).map_err(|error| match error {
            CheckpointError::Damaged { reason, .. } => wrong(reason),
            other => other.into(),
        })?;
        let found: Vec<&str> = tensors.iter().map(|(name, _)| name).collect();
        let naming = Naming::of(names, has_own_names(&file), &found);
        let named = tensors.iter().filter_map(|(name, _)| match naming.host_name(name) {
            HostName::Is(host, transposed) => Some((host, (name.to_owned(), transposed))),
            HostName::Ignored => None,
        });
        let names = named.collect();
        Ok(Self { tensors, names })
    }

    /// Iterates over the weights by the names of the host. Weights that the file stores transposed are so
    /// here.
    pub fn iter(&self) -> impl Iterator<Item = (&str, TensorView<'_>)> {
        let in_file: BTreeMap<&str, TensorView<'_>> = self.tensors.iter().collect();
        self.names
            .iter()
            .filter_map(move |(host, (name, _))| Some((host.as_str(), *in_file.get(name.as_str())?)))
    }

    /// Removes a weight by the name of the host, and returns its name in the file and its tensor on the CPU.
    pub(super) fn take(&mut self, name: &str) -> Result<Option<(String, Tensor)>, TrainError> {
        let Some((in_file, transposed)) = self.names.remove(name) else { return Ok(None) };
        let view = self.tensors.iter().find(|(name, _)| *name == in_file).map(|(_, view)| view);
        view.map(|view| Ok((in_file.clone(), tensor(&in_file, view, transposed)?))).transpose()
    }

    /// Returns the names in the file of the weights that were not taken.
    pub(super) fn rest(self) -> Vec<String> {
        self.names.into_values().map(|(name, _)| name).collect()
    }
}

/// Whether an export has written a file with the host's own names, which its description says.
fn has_own_names(file: &Path) -> bool {
    let description = read(&file.with_file_name("config.json"), limit::CONFIG).ok();
    let description = description.and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
    description.is_some_and(|value| value["kasmina"]["format"] == "safetensors")
}

/// Returns the file of weights that a path names.
pub(in crate::run) fn weights_file(path: &Path) -> Result<PathBuf, TrainError> {
    if !path.is_dir() {
        return Ok(path.to_owned());
    }
    let inside = path.join(WEIGHTS);
    if inside.is_file() {
        return Ok(inside);
    }
    Ok(SavedNetwork::open(path, Choice::Last)?.path().join(WEIGHTS))
}

/// Returns the tensor of a view, transposed if its file stores it so.
fn tensor(name: &str, view: TensorView<'_>, transposed: bool) -> Result<Tensor, TrainError> {
    let tensor = tensor_of(name, view)?;
    Ok(if transposed { tensor.f_transpose(0, 1)? } else { tensor })
}
