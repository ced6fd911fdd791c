//! A Hugging Face folder: `config.json`, `model.safetensors`, and a Python file that needs PyTorch alone.

mod card;
mod config;
mod literal;
mod modeling;
mod source;
mod tokenizer;
mod weights;

use crate::folder::NewFolder;
use crate::{ExportError, Structure};
use kasmina_records::Summary;
use kasmina_registry::Registry;
use kasmina_trainer::run::SavedNetwork;
use kasmina_trainer::task::Input;
use serde_json::{Value, json};
use std::path::Path;

/// Name of the file that describes the network.
pub const CONFIG: &str = "config.json";
/// Name of the file with the weights.
pub const WEIGHTS: &str = "model.safetensors";
/// The generated Python file.
pub const MODELING: &str = "modeling_kasmina.py";
/// The Python file that turns images into inputs.
const IMAGE_PROCESSING: &str = "image_processing_kasmina.py";

/// Writes a saved network as a new folder.
///
/// # Errors
/// If the folder exists or cannot be written, a plugin of the network is missing, or a part of the network
/// has no PyTorch source. Nothing is left behind.
pub fn export(saved: &SavedNetwork, registry: &Registry, target: &Path) -> Result<Structure, ExportError> {
    let interface = saved.interface()?;
    let network = Structure::of(saved, registry)?;
    let modeling = modeling::text(&network, interface)?;
    let weights = weights::bytes(&network, saved.weights())?;
    let config = config::value(&network, saved, interface, weights.dtype);
    let card = card::text(&network, saved, interface, summary(saved.run()).as_ref());

    let folder = NewFolder::create(target)?;
    folder.write(CONFIG, json_text(&config).as_bytes())?;
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
    folder.write("README.md", card.as_bytes())?;
    folder.write(WEIGHTS, &weights.bytes)?;
    folder.finish()?;
    Ok(network)
}

fn json_text(value: &Value) -> String {
    format!("{value:#}\n")
}

/// The summary of a run, if the run has ended. It tells which seeds did not stay, and why.
fn summary(run: &Path) -> Option<Summary> {
    let bytes = kasmina_files::read(&run.join("summary.json"), kasmina_files::limit::CONFIG).ok()?;
    serde_json::from_slice(&bytes).ok()
}
