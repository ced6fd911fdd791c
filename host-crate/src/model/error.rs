//! Errors of a model and of its commands.

use super::{CommandCode, OwnershipError};
use crate::consensus::ConsensusError;
use crate::graft::{ProbeError, RebuildError};
use crate::lifecycle::{Refusal, SettingsError};
use kasmina_plugin_api::{ErrorKind, PluginError};
use kasmina_registry::RegistryError;
use kasmina_torch_ext::SinkError;

/// Why a model cannot be built, or an operation on it failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// A plugin is missing or cannot build an instance.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// A setting is out of bounds.
    #[error("setting {0}")]
    Settings(#[from] SettingsError),
    /// The host has no such slot.
    #[error("host `{host}` has no slot `{slot}`; it has {}", known.join(", "))]
    UnknownSlot {
        /// Id of the host.
        host: String,
        /// Name of the requested slot.
        slot: String,
        /// Names and aliases of the host's slots.
        known: Vec<String>,
    },
    /// The configuration names one slot twice.
    #[error("`{first}` and `{second}` are the same slot of host `{host}`")]
    SlotTwice {
        /// Id of the host.
        host: String,
        /// The first of the two names.
        first: String,
        /// The second of the two names.
        second: String,
    },
    /// The host breaks the plugin contract.
    #[error("host `{host}` {what}")]
    Host {
        /// Id of the host.
        host: String,
        /// How the host breaks it.
        what: String,
    },
    /// The forward pass of the host failed.
    #[error("forward through `{host}` failed: {error}")]
    Forward {
        /// Id of the host.
        host: String,
        /// Error of the host, a seed, a blend or libtorch.
        #[source]
        error: PluginError,
    },
    /// A measurement is out of range or not finite.
    #[error("slot `{slot}`: {refusal}")]
    Measurement {
        /// Name of the slot.
        slot: String,
        /// Why the lifecycle refused the measurement.
        #[source]
        refusal: Refusal,
    },
    /// A counterfactual plan does not match the model or the measurements.
    #[error("the counterfactual plan does not fit: {0}")]
    Plan(String),
    /// A slot has another topology than the task's.
    #[error("slot `{slot}` of host `{host}` has topology `{found}`; the task requires `{wanted}`")]
    Topology {
        /// Id of the host.
        host: String,
        /// Name of the slot.
        slot: String,
        /// Topology of the slot.
        found: String,
        /// Topology that the task requires.
        wanted: String,
    },
    /// An isolated seed passed a gradient to the host, and `fail_on_breach` is set.
    #[error(
        "seed `{seed_id}` in slot `{slot}` gives isolated host layers a gradient: {violations} shadow checks failed in this epoch"
    )]
    Isolation {
        /// Name of the slot.
        slot: String,
        /// Id of the seed.
        seed_id: String,
        /// Number of failed shadow checks in this epoch.
        violations: u32,
    },
    /// The optimizer refused a change.
    #[error("the optimizer refuses: {0}")]
    Sink(#[from] SinkError),
    /// The ranks made no decision.
    #[error(transparent)]
    Consensus(#[from] ConsensusError),
    /// A change that the model makes by itself, such as the end of a trial, was refused.
    #[error(transparent)]
    Command(Box<CommandError>),
    /// A plugin or a libtorch call failed.
    #[error(transparent)]
    Plugin(#[from] PluginError),
    /// A libtorch call failed.
    #[error(transparent)]
    Torch(#[from] kasmina_torch_ext::Error),
}

/// Why a command was refused. It has changed nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    /// The lifecycle refused the request.
    #[error("{}", .0.message)]
    Refused(#[from] Refusal),
    /// The model has no such slot.
    #[error("there is no slot `{slot}`; the model has {}", if known.is_empty() { "none".to_owned() } else { known.join(", ") })]
    UnknownSlot {
        /// Name of the requested slot.
        slot: String,
        /// Names and aliases of the model's slots.
        known: Vec<String>,
    },
    /// `max_seeds` slots are occupied.
    #[error("the limit of {limit} seeds (`max_seeds`) is reached")]
    MaxSeeds {
        /// Largest number of occupied slots, fossilized seeds included.
        limit: u32,
    },
    /// The blueprint or blend is missing, or cannot be built.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The seed failed its probe.
    #[error("blueprint `{blueprint}` does not fit slot `{slot}`: {error}")]
    Probe {
        /// Id of the blueprint.
        blueprint: String,
        /// Name of the slot.
        slot: String,
        /// Check that failed.
        #[source]
        error: ProbeError,
    },
    /// The blend failed its probe.
    #[error("blend `{blend}` does not fit slot `{slot}`: {error}")]
    ProbeBlend {
        /// Id of the blend.
        blend: String,
        /// Name of the slot.
        slot: String,
        /// Check that failed.
        #[source]
        error: ProbeError,
    },
    /// The new build lacks a blend that is in use.
    #[error("the new build of `{plugin}` has no blend `{blend}`, which slot `{slot}` uses")]
    MissingBlend {
        /// Id of the blend that the new build lacks.
        blend: String,
        /// Name of the slot whose seed uses the blend.
        slot: String,
        /// Name of the plugin to be swapped.
        plugin: String,
    },
    /// A parameter of the seed already has an owner.
    #[error(transparent)]
    Ownership(#[from] Box<OwnershipError>),
    /// The optimizer refused the parameters.
    #[error("the optimizer refuses: {0}")]
    Sink(#[from] SinkError),
    /// Another rank refused the command.
    #[error("another rank refused the command, so no rank executes it")]
    Vetoed,
    /// The ranks made no decision.
    #[error(transparent)]
    Consensus(#[from] ConsensusError),
    /// The thread of a prefetched germination cannot be started.
    #[error("cannot start a thread to prefetch the seed: {0}")]
    Thread(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A plugin or a libtorch call failed.
    #[error(transparent)]
    Plugin(#[from] PluginError),
    /// A libtorch call failed.
    #[error(transparent)]
    Torch(#[from] kasmina_torch_ext::Error),
}

impl CommandError {
    /// Whether memory ran out while a seed was built, probed or called.
    fn is_out_of_memory(&self) -> bool {
        let torch = |error: &kasmina_torch_ext::Error| PluginError::torch(&error.to_string()).kind;
        let kind = match self {
            Self::Registry(RegistryError::Build { error, .. }) | Self::Plugin(error) => error.kind,
            Self::Probe { error, .. } | Self::ProbeBlend { error, .. } => match error {
                ProbeError::Failed(error) => error.kind,
                ProbeError::Torch(error) => torch(error),
                _ => return false,
            },
            Self::Torch(error) => torch(error),
            _ => return false,
        };
        kind == ErrorKind::OutOfMemory
    }

    /// Returns the stable code of the error, for journals.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Refused(refusal) => refusal.code.as_str(),
            other => other.own_code().as_str(),
        }
    }

    /// Returns the code of an error that is not a refusal of the lifecycle.
    fn own_code(&self) -> CommandCode {
        match self {
            Self::UnknownSlot { .. } => CommandCode::UnknownSlot,
            Self::MaxSeeds { .. } => CommandCode::MaxSeeds,
            _ if self.is_out_of_memory() => CommandCode::OutOfMemory,
            Self::Registry(RegistryError::Build { .. }) => CommandCode::BuildFailed,
            Self::Registry(_) => CommandCode::PluginUnavailable,
            Self::Probe { .. } | Self::ProbeBlend { .. } => CommandCode::ProbeFailed,
            Self::MissingBlend { .. } => CommandCode::MissingBlend,
            Self::Ownership(_) => CommandCode::ParameterOwned,
            Self::Sink(_) => CommandCode::OptimizerRefused,
            Self::Vetoed => CommandCode::DdpVeto,
            Self::Consensus(error) => error.code(),
            Self::Thread(_) => CommandCode::NoThread,
            Self::Plugin(error) => code_of(error.kind),
            Self::Refused(_) | Self::Torch(_) => CommandCode::Torch,
        }
    }
}

/// Converts errors of tch through [`PluginError`], which derives the kind of error from the text.
macro_rules! from_tch {
    ($error:ident) => {
        impl From<tch::TchError> for $error {
            fn from(error: tch::TchError) -> Self {
                PluginError::from(error).into()
            }
        }
    };
}
from_tch!(ModelError);
from_tch!(CommandError);

impl From<RebuildError> for ModelError {
    fn from(error: RebuildError) -> Self {
        match error {
            RebuildError::Registry(error) => error.into(),
            RebuildError::Plugin(error) => error.into(),
        }
    }
}

impl From<CommandError> for ModelError {
    fn from(error: CommandError) -> Self {
        Self::Command(Box::new(error))
    }
}

/// Returns the stable code of a plugin error, for journals.
const fn code_of(kind: ErrorKind) -> CommandCode {
    match kind {
        ErrorKind::Torch => CommandCode::Torch,
        ErrorKind::OutOfMemory => CommandCode::OutOfMemory,
        ErrorKind::Config => CommandCode::PluginConfig,
        ErrorKind::Contract => CommandCode::PluginContract,
        ErrorKind::Panic | ErrorKind::Poisoned => CommandCode::PluginPanic,
        ErrorKind::Unsupported => CommandCode::PluginUnsupported,
        _ => CommandCode::PluginFailed,
    }
}
