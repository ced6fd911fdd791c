//! Exporting a saved network in one of the formats.

use crate::content::Content;
use crate::fold::fold;
use crate::folder::NewFolder;
use crate::folding::Folding;
use crate::format::Format;
use crate::{ExportError, Part, Structure, adapter, pytorch, torchscript, weights_only};
use kasmina_registry::Registry;
use kasmina_trainer::run::SavedNetwork;
use std::path::Path;
use tch::Kind;

/// How a network is exported.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Options {
    /// The format. If absent, PyTorch, or TorchScript if a part of the network has no PyTorch source.
    pub format: Option<Format>,
    /// Whether seeds that are linear in each position are folded into the layers beside them. Not for an
    /// adapter.
    pub fold: bool,
    /// Type of the weights; if absent, as they were trained.
    pub dtype: Option<Kind>,
}

/// What was exported.
#[derive(Debug, Clone, PartialEq)]
pub struct Written {
    /// The structure of the network.
    pub structure: Structure,
    /// The format.
    pub format: Format,
    /// The part without PyTorch source because of which the format is not PyTorch, if it was not chosen.
    pub without_source: Option<String>,
    /// What folding did, if it was asked for.
    pub folding: Option<Folding>,
}

/// Writes a saved network as a new folder.
///
/// # Errors
/// If the folder exists or cannot be written, a plugin of the network is missing, or the network cannot be
/// written in the format. Nothing is left behind.
pub fn export(
    saved: &SavedNetwork,
    registry: &Registry,
    target: &Path,
    options: Options,
) -> Result<Written, ExportError> {
    let whole = Structure::of(saved, registry)?;
    let folded = if options.fold && options.format != Some(Format::Adapter) {
        Some(fold(saved, registry, &whole)?)
    } else {
        None
    };
    let (structure, weights) =
        folded.as_ref().map_or((&whole, saved.weights()), |folded| (&folded.structure, &folded.weights));
    let folding = folded.as_ref().map(|folded| &folded.folding);
    let content = Content { saved, network: structure, weights, folding, interface: saved.interface()? };
    let without_source = if options.format.is_none() { part_without_source(structure) } else { None };
    let default = if without_source.is_some() { Format::TorchScript } else { Format::PyTorch };
    let format = options.format.unwrap_or(default);
    let folder = NewFolder::create(target)?;
    match format {
        Format::PyTorch => pytorch::write(&content, options.dtype, &folder)?,
        Format::TorchScript => torchscript::write(&content, registry, options.dtype, &folder)?,
        Format::Safetensors => weights_only::write(&content, options.dtype, &folder)?,
        Format::Adapter => adapter::write(&content, options.dtype, &folder)?,
    }
    folder.finish()?;
    let (structure, folding) = (structure.clone(), folding.cloned());
    Ok(Written { structure, format, without_source, folding })
}

/// Returns the name of the first part that has no PyTorch source.
fn part_without_source(structure: &Structure) -> Option<String> {
    structure.parts().find(|(part, _)| part.pytorch.is_none()).map(|(_, name)| name)
}

impl Structure {
    /// Returns every part that takes part in the output, with its name in messages.
    pub(crate) fn parts(&self) -> impl Iterator<Item = (&Part, String)> {
        let host = (&self.host, format!("host `{}`", self.host.entry.full_name()));
        let seeds = self.seeds.iter().flat_map(|seed| {
            let name = |kind: &str, part: &Part| {
                format!("{kind} `{}` in slot `{}`", part.entry.full_name(), seed.slot)
            };
            let blend = (!seed.seed_alone).then(|| (&seed.blend, name("blend", &seed.blend)));
            [Some((&seed.seed, name("blueprint", &seed.seed))), blend].into_iter().flatten()
        });
        std::iter::once(host).chain(seeds)
    }
}
