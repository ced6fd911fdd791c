//! What an export contains.

use crate::Structure;
use crate::folding::Folding;
use kasmina_checkpoint::Tensors;
use kasmina_trainer::run::SavedNetwork;
use kasmina_trainer::task::Interface;
use serde_json::Value;

/// Name of the file that describes the network.
pub(crate) const CONFIG: &str = "config.json";
/// Name of the file with the weights.
pub(crate) const WEIGHTS: &str = "model.safetensors";
/// Name of the file with the weights of the seeds, beside those of the host alone.
pub(crate) const SEEDS: &str = "seeds.safetensors";
/// Name of the TorchScript archive.
pub(crate) const MODULE: &str = "model.pt";

/// A network to be exported.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Content<'a> {
    pub(crate) saved: &'a SavedNetwork,
    pub(crate) network: &'a Structure,
    /// The weights, by their names in a checkpoint.
    pub(crate) weights: &'a Tensors,
    /// What folding did to the network, if it was folded.
    pub(crate) folding: Option<&'a Folding>,
    pub(crate) interface: &'a Interface,
}

/// Returns a value as the text of a JSON file.
pub(crate) fn json_text(value: &Value) -> String {
    format!("{value:#}\n")
}
