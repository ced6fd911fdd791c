//! A Hugging Face folder: `config.json`, `model.safetensors`, and a Python file that needs PyTorch alone.

mod config;
mod literal;
mod modeling;
mod source;
mod tokenizer;

use crate::ExportError;
use crate::content::{Content, WEIGHTS, json_text};
use crate::folder::NewFolder;
use crate::format::Format;
use kasmina_trainer::task::Input;
use serde_json::json;
use tch::Kind;

pub(crate) use modeling::with_linear_slots;

/// The generated Python file.
pub(crate) const MODELING: &str = "modeling_kasmina.py";
/// The Python file that turns images into inputs.
const IMAGE_PROCESSING: &str = "image_processing_kasmina.py";
/// Example of the model card.
const EXAMPLE: &str = "from modeling_kasmina import load\n\nnetwork = load(\".\")\n";

/// Writes the files of an export.
///
/// # Errors
/// If the folder cannot be written, or a part of the network has no PyTorch source.
pub(crate) fn write(
    content: &Content<'_>,
    dtype: Option<Kind>,
    folder: &NewFolder,
) -> Result<(), ExportError> {
    let Content { network, weights, interface, .. } = *content;
    let modeling = modeling::text(network, interface)?;
    let weights = crate::weights::bytes(&crate::weights::exported(network, weights), dtype)?;
    content.describe(Format::PyTorch, config::value(interface, weights.dtype), EXAMPLE, folder)?;
    folder.write(MODELING, modeling.as_bytes())?;
    match &interface.input {
        Input::Image(image) => {
            folder.write(IMAGE_PROCESSING, include_bytes!("templates/image_processing.py"))?;
            let class = "image_processing_kasmina.KasminaImageProcessor";
            let config = json!({
                "image_processor_type": "KasminaImageProcessor",
                "auto_map": { "AutoImageProcessor": class },
                "channels": image.channels,
                "height": image.height,
                "width": image.width,
                "mean": image.mean,
                "deviation": image.deviation,
            });
            folder.write("preprocessor_config.json", json_text(&config).as_bytes())?;
        }
        Input::Tokens(tokens) => {
            folder.write("tokenizer.json", json_text(&tokenizer::tokenizer(tokens)).as_bytes())?;
            let config = tokenizer::tokenizer_config(tokens);
            folder.write("tokenizer_config.json", json_text(&config).as_bytes())?;
        }
    }
    folder.write(WEIGHTS, &weights.bytes)
}
