//! The files that every export has: the description of the network and the model card.

use crate::content::{CONFIG, Content, json_text};
use crate::folder::NewFolder;
use crate::format::Format;
use crate::record::Record;
use crate::{ExportError, card};
use serde_json::{Value, json};

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
        config["kasmina"] = json!(Record::of(self.saved, self.network, self.folding, format));
        let interface = self.interface;
        config["interface"] = json!(interface);
        folder.write(CONFIG, json_text(&config).as_bytes())?;
        folder.write("README.md", card::text(self, example).as_bytes())
    }
}
