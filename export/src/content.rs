//! What an export contains.

use crate::folder::NewFolder;
use crate::format::Format;
use crate::record::Record;
use crate::{ExportError, Structure, card};
use kasmina_trainer::run::SavedNetwork;
use kasmina_trainer::task::Interface;
use serde_json::{Value, json};

/// Name of the file that describes the network.
pub(crate) const CONFIG: &str = "config.json";
/// Name of the file with the weights.
pub(crate) const WEIGHTS: &str = "model.safetensors";

/// A network to be exported.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Content<'a> {
    pub(crate) saved: &'a SavedNetwork,
    pub(crate) network: &'a Structure,
    pub(crate) interface: &'a Interface,
}

impl Content<'_> {
    /// Writes the description of the network and the model card. `config` is added to the description;
    /// `example` shows how the export is used.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub(crate) fn describe(
        &self,
        format: Format,
        mut config: Value,
        example: &str,
        folder: &NewFolder,
    ) -> Result<(), ExportError> {
        let Self { saved, network, interface } = *self;
        config["kasmina"] = json!(Record::of(saved, network, format));
        config["interface"] = json!(interface);
        folder.write(CONFIG, json_text(&config).as_bytes())?;
        folder.write("README.md", card::text(network, saved, interface, example).as_bytes())
    }
}

/// Returns a value as the text of a JSON file.
pub(crate) fn json_text(value: &Value) -> String {
    format!("{value:#}\n")
}
