//! The formats of exports.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A format of exports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// A Hugging Face folder with generated PyTorch.
    PyTorch,
    /// A TorchScript archive, which runs without Python.
    TorchScript,
    /// The weights alone, under the names that the host and the seeds give them.
    Safetensors,
    /// The seeds alone, which are used with the weights of their host.
    Adapter,
}

/// The name on the command line.
impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PyTorch => "pytorch",
            Self::TorchScript => "torchscript",
            Self::Safetensors => "safetensors",
            Self::Adapter => "adapter",
        })
    }
}
