//! Why a network cannot be used or exported.

use kasmina::model::ModelError;
use kasmina_checkpoint::CheckpointError;
use kasmina_plugin_api::PluginError;
use kasmina_registry::RegistryError;
use kasmina_trainer::TrainError;
use std::path::PathBuf;

/// A network that cannot be used or exported.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// The target of the export exists.
    #[error("{} exists", path.display())]
    Exists {
        /// Path of the target.
        path: PathBuf,
    },
    /// A file of the export cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// Path of the file.
        path: PathBuf,
        /// Error of the operating system.
        source: std::io::Error,
    },
    /// A file of a saved network cannot be read.
    #[error("{}: {reason}", path.display())]
    Read {
        /// Path of the file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A TorchScript module that this user has neither written nor run.
    #[error("{} is a program, and you have neither written nor run it before", path.display())]
    Untrusted {
        /// Path of the module.
        path: PathBuf,
    },
    /// An adapter without its host.
    #[error("{} is an adapter, which needs the weights of its host", path.display())]
    NeedsHost {
        /// Folder of the adapter.
        path: PathBuf,
    },
    /// A saved network that is no adapter, with a host for it.
    #[error("{} is no adapter; it has a host of its own", path.display())]
    NoAdapter {
        /// Path of the network.
        path: PathBuf,
    },
    /// An adapter with another host than its own.
    #[error("the seeds of {} were trained on other weights than those of {}", path.display(), host.display())]
    OtherHost {
        /// Folder of the adapter.
        path: PathBuf,
        /// Path of the host.
        host: PathBuf,
    },
    /// An adapter of a network without seeds.
    #[error("the network has no seed, so that there is nothing for an adapter")]
    NoSeeds,
    /// A weight of a saved network does not fit its plugin.
    #[error("{}: weight `{name}`: {reason}", path.display())]
    Weight {
        /// Path of the checkpoint or export.
        path: PathBuf,
        /// Name of the weight.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A TorchScript module in another type than its own.
    #[error("a TorchScript module keeps the type that it was exported with")]
    FixedType,
    /// The network does not classify pictures.
    #[error("the network reads text, not pictures")]
    ReadsNoImages,
    /// The network does not continue text.
    #[error("the network reads pictures, not text")]
    ReadsNoText,
    /// A text with a character that the network does not know.
    #[error(
        "the prompt contains {character:?} (character {position}), which the network does not know; it knows {known}"
    )]
    UnknownCharacter {
        /// The character.
        character: char,
        /// Its position in the text, counted from 1.
        position: usize,
        /// The characters that the network knows.
        known: String,
    },
    /// There is no text to continue.
    #[error("the prompt is empty")]
    EmptyPrompt,
    /// A setting with which no token can be drawn.
    #[error("{setting}: {reason}")]
    Sampling {
        /// Name of the setting.
        setting: &'static str,
        /// What is wrong with its value.
        reason: String,
    },
    /// A part of the network has no PyTorch source.
    #[error("{part} has no PyTorch source, so the network cannot be written as plain PyTorch")]
    NoSource {
        /// The part, with its slot: ``blueprint `acme::dense` in slot `mid` ``.
        part: String,
    },
    /// The PyTorch source of a part is not what the plugin guide asks for.
    #[error("the PyTorch source of {part} {reason}")]
    Source {
        /// The part, with its slot.
        part: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The network cannot be written as TorchScript.
    #[error("the network cannot be written as TorchScript: {reason}")]
    Untraceable {
        /// What prevents it.
        reason: String,
    },
    /// What would be written computes something else.
    #[error("the {what} differs from the network by {difference:.1e} of its largest output")]
    Differs {
        /// What would be written.
        what: &'static str,
        /// Difference relative to the largest output.
        difference: f64,
    },
    /// Linear seeds that cannot be folded.
    #[error("the seeds cannot be folded into the layers beside them:\n  {}", reasons.join("\n  "))]
    NotFolded {
        /// Why not, for each slot.
        reasons: Vec<String>,
    },
    /// The tensors cannot be written in the format safetensors.
    #[error("the weights cannot be written: {0}")]
    Weights(#[from] safetensors::SafeTensorError),
    /// The checkpoint cannot be read.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A plugin of the network cannot be loaded or asked.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The run or checkpoint cannot be opened.
    #[error(transparent)]
    Trainer(#[from] TrainError),
    /// The network fails on an input.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A libtorch call or a plugin failed.
    #[error(transparent)]
    Tensor(#[from] PluginError),
    /// A libtorch call through `kasmina-torch-ext` failed.
    #[error(transparent)]
    Torch(#[from] kasmina_torch_ext::Error),
}

impl ExportError {
    /// What to do about the error, if there is something.
    pub fn help(&self) -> Option<String> {
        match self {
            Self::Exists { .. } => Some("name a folder that does not exist, or remove it first".to_owned()),
            Self::NoSource { .. } => Some(
                "export it as TorchScript with --format torchscript, or ask the author of the plugin to add `fn pytorch` \
                 (docs/guide/pytorch.md)"
                    .to_owned(),
            ),
            Self::Source { .. } => {
                Some("the author of the plugin finds the rules in docs/guide/pytorch.md".to_owned())
            }
            Self::Read { .. } | Self::Weight { .. } => Some(
                "name a run directory, a checkpoint, or a complete folder that `kasmina export` wrote"
                    .to_owned(),
            ),
            Self::Untrusted { .. } => {
                Some("if you know where the export comes from, pass --trust-run".to_owned())
            }
            Self::FixedType => Some("export the network again with --dtype, or as another format".to_owned()),
            Self::NeedsHost { .. } => Some(
                "name the host with --onto: a run directory, a checkpoint, an export or a safetensors file"
                    .to_owned(),
            ),
            Self::NoAdapter { .. } => Some("leave out --onto".to_owned()),
            Self::OtherHost { .. } => {
                Some("name the weights that the run of the seeds began with".to_owned())
            }
            Self::NotFolded { .. } => Some("export it without --fold; the seeds are then layers".to_owned()),
            Self::ReadsNoImages => Some("`kasmina generate` continues a text".to_owned()),
            Self::ReadsNoText => Some("`kasmina predict` classifies pictures".to_owned()),
            Self::UnknownCharacter { .. } => Some(
                "write the prompt with characters of the text that the network was trained on".to_owned(),
            ),
            Self::EmptyPrompt => Some("give at least one character with --prompt".to_owned()),
            Self::Differs { what: "folded network", .. } => {
                Some("export it without --fold; the seeds are then layers".to_owned())
            }
            Self::Untraceable { .. } | Self::Differs { .. } => {
                Some("a part of it computes in a way that depends on the batch; export it with --format pytorch, or its weights alone with --format safetensors".to_owned())
            }
            Self::Write { .. } => Some("name a folder that you may write, on a disk with room".to_owned()),
            _ => None,
        }
    }
}

impl From<tch::TchError> for ExportError {
    fn from(error: tch::TchError) -> Self {
        Self::Tensor(error.into())
    }
}
