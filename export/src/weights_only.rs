//! The weights alone: those of the host under its own names, those of the seeds in a file beside them.

use crate::content::{Content, SEEDS, WEIGHTS};
use crate::folder::NewFolder;
use crate::format::Format;
use crate::names::Names;
use crate::{ExportError, weights};
use serde_json::json;
use tch::Kind;

/// Example of the model card.
const EXAMPLE: &str = "from safetensors.torch import load_file\n\n\
                       # The names are those of the host. A module that was grafted gets its own weights back.\n\
                       weights = load_file(\"model.safetensors\")\n";

/// Writes the files of an export.
///
/// # Errors
/// If the folder cannot be written.
pub(crate) fn write(
    content: &Content<'_>,
    dtype: Option<Kind>,
    folder: &NewFolder,
) -> Result<(), ExportError> {
    let Content { network, weights: all, .. } = *content;
    let names = Names::saved(network);
    let (host, seeds) = weights::split(&names, all);
    content.describe(Format::Safetensors, json!({}), EXAMPLE, folder)?;
    if !seeds.is_empty() {
        folder.write(SEEDS, &weights::bytes(&seeds, dtype)?.bytes)?;
    }
    folder.write(WEIGHTS, &weights::bytes(&host, dtype)?.bytes)
}
