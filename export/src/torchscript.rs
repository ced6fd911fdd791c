//! A TorchScript archive, which runs without Python and without Kasmina.
//!
//! A network is traced as a whole. A grafted host keeps its own module, with the seeds as submodules behind
//! their places.

use crate::content::{Content, MODULE};
use crate::difference::relative;
use crate::example::examples;
use crate::folder::NewFolder;
use crate::format::Format;
use crate::names::key;
use crate::{ExportError, Network};
use kasmina_plugin_api::PluginError;
use kasmina_registry::Registry;
use kasmina_torch_ext::script::{Failed, Script, SeedModule};
use kasmina_torch_ext::traced::TracedModule;
use serde_json::json;
use tch::{Device, Kind, Tensor};

/// Example of the model card.
const EXAMPLE: &str = "import torch\n\nnetwork = torch.jit.load(\"model.pt\")\n";
/// Largest difference between the outputs of the archive and the network, relative to the largest output.
const TOLERANCE: f64 = 1e-5;
/// The same in bfloat16, which has 8 bits of precision.
const HALF_TOLERANCE: f64 = 2e-2;

/// Writes the files of an export.
///
/// # Errors
/// If the folder cannot be written, the network cannot be traced, or the archive computes something else.
pub(crate) fn write(
    content: &Content<'_>,
    registry: &Registry,
    dtype: Option<Kind>,
    folder: &NewFolder,
) -> Result<(), ExportError> {
    let Content { saved, interface, weights, .. } = *content;
    let mut network = Network::of_parts(saved, registry, Device::Cpu, (content.network, weights))?;
    if let Some(kind) = dtype {
        network.cast(kind)?;
    }
    let [one, two, other] = examples(interface, dtype.unwrap_or(Kind::Float))?;
    let host = &saved.model().host;
    let entry = saved.builds(registry).resolve(kasmina_plugin_api::Kind::Host, &host.entry)?;
    let archive = if let Some(bytes) = entry.grafted_module(&host.config)? {
        with_seeds(&mut network, &bytes, [&one, &two])?
    } else {
        let variables = network.named_tensors()?;
        let traced = TracedModule::trace(&variables, [&one, &two], &mut |x| network.forward_plain(&x));
        traced.map_err(failed)?.archive()?
    };
    compare(&archive, &mut network, &other)?;
    content.describe(Format::TorchScript, json!({}), EXAMPLE, folder)?;
    folder.write(MODULE, &archive)?;
    // The user who wrote the module may run it.
    registry.policy().record(&kasmina_files::sha256_of([archive.as_slice()]));
    Ok(())
}

/// Returns the archive of a grafted module with its trained weights, and with the seeds as submodules.
fn with_seeds(network: &mut Network, module: &[u8], inputs: [&Tensor; 2]) -> Result<Vec<u8>, ExportError> {
    let script = Script::load(module, Device::Cpu)?;
    network.copy_host_weights(script.variables()?)?;
    let [one, two] = [network.features(inputs[0])?, network.features(inputs[1])?];
    let mut seeds = Vec::new();
    for (slot, features) in network.occupied().zip(one.iter().zip(&two)) {
        let (first, second) = features;
        let variables = slot.named_tensors("")?;
        let traced =
            TracedModule::trace(&variables, [first, second], &mut |x| slot.forward(&x)).map_err(failed)?;
        seeds.push((slot.name().to_owned(), format!("kasmina_{}", key(slot.name())), traced));
    }
    let seeds: Vec<SeedModule<'_>> =
        seeds.iter().map(|(path, name, module)| SeedModule { path, name, module }).collect();
    Ok(script.into_archive_with(&seeds)?)
}

/// Loads the archive again, and compares its output with that of the network.
fn compare(archive: &[u8], network: &mut Network, x: &Tensor) -> Result<(), ExportError> {
    let _no_grad = tch::no_grad_guard();
    let mut script = Script::load(archive, Device::Cpu)?;
    let found = script.forward(x, &mut |_, x| Ok::<_, PluginError>(x)).map_err(failed)?;
    let wanted = network.forward(x)?;
    let tolerance = if wanted.kind() == Kind::BFloat16 { HALF_TOLERANCE } else { TOLERANCE };
    let difference = relative(&wanted, &found)?;
    // A difference that is not a number is one.
    if difference <= tolerance {
        return Ok(());
    }
    Err(ExportError::Differs { what: "TorchScript of the network", difference })
}

fn failed(failed: Failed<PluginError>) -> ExportError {
    match failed {
        Failed::Tap(error) => error.into(),
        Failed::Torch(error) => ExportError::Untraceable { reason: error.to_string() },
    }
}
