//! Why a network cannot be exported.

use kasmina::model::ModelError;
use kasmina_checkpoint::CheckpointError;
use kasmina_registry::RegistryError;
use kasmina_trainer::TrainError;
use std::path::PathBuf;

/// A network that cannot be exported.
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
}

impl ExportError {
    /// What to do about the error, if there is something.
    pub fn help(&self) -> Option<String> {
        match self {
            Self::Exists { .. } => Some("name a folder that does not exist, or remove it first".to_owned()),
            Self::NoSource { .. } => Some(
                "ask the author of the plugin to add `fn pytorch`; docs/guide/pytorch.md explains it"
                    .to_owned(),
            ),
            Self::Source { .. } => {
                Some("the author of the plugin finds the rules in docs/guide/pytorch.md".to_owned())
            }
            Self::Write { .. } => Some("name a folder that you may write, on a disk with room".to_owned()),
            _ => None,
        }
    }
}
