//! The seeds of a network alone, as an adapter for its host.
//!
//! An adapter contains a hash of the weights of its host, and is used with these weights only. Where all
//! seeds are `lora`, it is written in the format of PEFT, with a Python file of the host for it.

mod host;
mod peft;

use crate::content::{Content, json_text};
use crate::exported::{Description, Exported};
use crate::folder::NewFolder;
use crate::format::Format;
use crate::names::Names;
use crate::stored::{Stored, bytes, tensors};
use crate::{ExportError, pytorch, weights};
use kasmina_checkpoint::TensorView;
use kasmina_files::limit;
use kasmina_trainer::config::WeightNames;
use kasmina_trainer::run::{Choice, NamedWeights, SavedNetwork};
use peft::Peft;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::Path;
use tch::Kind;

/// Name of the file with the weights.
pub(crate) const WEIGHTS: &str = "adapter_model.safetensors";
/// Name of the file that PEFT reads.
const CONFIG: &str = "adapter_config.json";
/// Example of the model card.
const EXAMPLE: &str = "from safetensors.torch import load_file\n\n\
                       # The weights of the seeds. `kasmina eval . --onto HOST` computes with them.\n\
                       weights = load_file(\"adapter_model.safetensors\")\n";
/// Example of the model card of an adapter for PEFT.
const PEFT_EXAMPLE: &str = "from modeling_kasmina import load\nfrom peft import PeftModel\n\n\
                            # HOST is the folder that `kasmina export` wrote of the host, for PyTorch.\n\
                            network = PeftModel.from_pretrained(load(\"HOST\"), \".\")\n";

/// Writes the files of an adapter.
///
/// # Errors
/// If the network has no seed, or the folder cannot be written.
pub(crate) fn write(
    content: &Content<'_>,
    dtype: Option<Kind>,
    folder: &NewFolder,
) -> Result<(), ExportError> {
    let Content { network, weights: all, .. } = *content;
    if network.seeds.is_empty() {
        return Err(ExportError::NoSeeds);
    }
    let names = Names::saved(network);
    let (host, seeds) = weights::split(&names, all);
    let host_weights = host::hash(&host);
    // PEFT needs the host as plain PyTorch.
    let peft = Peft::of(network).filter(|_| network.host.pytorch.is_some());
    let in_file = |name: &str| peft.as_ref().map_or_else(|| name.to_owned(), |peft| peft.name(name));
    let seeds: BTreeMap<String, TensorView<'_>> =
        seeds.into_iter().map(|(name, view)| (in_file(name), view)).collect();
    let example = if peft.is_some() { PEFT_EXAMPLE } else { EXAMPLE };
    content.describe(Format::Adapter, json!({ "host_weights": host_weights }), example, folder)?;
    if let Some(peft) = &peft {
        folder.write(CONFIG, json_text(&peft.config()).as_bytes())?;
        folder.write(pytorch::MODELING, pytorch::with_linear_slots(network)?.as_bytes())?;
    }
    folder.write(WEIGHTS, &weights::bytes(&seeds, dtype)?.bytes)
}

/// Reads an adapter, and the weights of its host.
///
/// # Errors
/// If a file is missing or damaged, the folder is no adapter, or the host has other weights than the one that
/// the seeds were trained on.
pub(crate) fn open(folder: &Path, host: &Path) -> Result<Exported, ExportError> {
    if !Exported::is_at(folder) {
        // The message of another folder tells what it is.
        SavedNetwork::open(folder, Choice::Last)?;
        return Err(ExportError::NoAdapter { path: folder.to_owned() });
    }
    let description = Description::read(folder)?;
    if description.record.format != Format::Adapter {
        return Err(ExportError::NoAdapter { path: folder.to_owned() });
    }
    let structure = &description.record.structure;
    let (names, peft) = (Names::saved(structure), Peft::of(structure));
    if let Some(peft) = peft.as_ref().filter(|_| folder.join(CONFIG).exists()) {
        let wrong = |reason: String| ExportError::Read { path: folder.join(CONFIG), reason };
        let settings = serde_json::from_slice(&bytes(folder, CONFIG, limit::CONFIG)?);
        peft.check(&settings.map_err(|error| wrong(error.to_string()))?).map_err(wrong)?;
    }
    let seeds = tensors(folder, WEIGHTS)?;
    let given = NamedWeights::read(host, WeightNames::Host)?;
    let found: BTreeMap<&str, TensorView<'_>> = given.iter().collect();
    if description.host_weights != Some(host::hash(&found)) {
        return Err(ExportError::OtherHost { path: folder.to_owned(), host: host.to_owned() });
    }
    let mut own = Vec::new();
    for (in_file, view) in seeds.iter() {
        let name = peft.as_ref().and_then(|peft| peft.own_name(in_file));
        let name = name.unwrap_or_else(|| in_file.to_owned());
        if !names.is_of_seed(&name) {
            let reason = format!("it contains `{in_file}`, which is no weight of its seeds");
            return Err(ExportError::Read { path: folder.join(WEIGHTS), reason });
        }
        own.push((name, view));
    }
    let all = weights::join(&names, found, own, &folder.join(WEIGHTS))?;
    let stored = Stored::Weights(all, names);
    Ok(Exported::new(folder, description, stored))
}
