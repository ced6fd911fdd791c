//! What can go wrong with a model, and why a command was refused.

use super::{CommandCode, OwnershipError};
use crate::consensus::ConsensusError;
use crate::graft::{ProbeError, RebuildError};
use crate::lifecycle::{Refusal, SettingsError};
use kasmina_plugin_api::{ErrorKind, PluginError};
use kasmina_registry::RegistryError;
use kasmina_torch_ext::SinkError;

/// A model that cannot be built, or a forward that failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// The host's plugin is missing or fails.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// A setting is out of bounds.
    #[error("setting {0}")]
    Settings(#[from] SettingsError),
    /// A slot that the host does not have.
    #[error("host `{host}` has no slot `{slot}`; it has {}", known.join(", "))]
    UnknownSlot {
        /// Id of the host.
        host: String,
        /// Slot that was asked for.
        slot: String,
        /// Names and aliases of the host's slots.
        known: Vec<String>,
    },
    /// One slot by two names.
    #[error("`{first}` and `{second}` are the same slot of host `{host}`")]
    SlotTwice {
        /// Id of the host.
        host: String,
        /// The first of the two names.
        first: String,
        /// The second of the two names.
        second: String,
    },
    /// The host breaks a promise.
    #[error("host `{host}` {what}")]
    Host {
        /// Id of the host.
        host: String,
        /// What the host does that it must not.
        what: String,
    },
    /// The forward pass of the host failed.
    #[error("forward through `{host}` failed: {error}")]
    Forward {
        /// Id of the host.
        host: String,
        /// Error of the host or libtorch.
        #[source]
        error: PluginError,
    },
    /// A measurement cannot be true.
    #[error("slot `{slot}`: {refusal}")]
    Measurement {
        /// Name of the slot.
        slot: String,
        /// Reason of the lifecycle.
        #[source]
        refusal: Refusal,
    },
    /// A counterfactual plan does not belong to what was measured with it.
    #[error("the counterfactual plan does not fit: {0}")]
    Plan(String),
    /// What must flow through the slots is not what flows there.
    #[error("slot `{slot}` of host `{host}` is of topology `{found}`; the task asks for `{wanted}`")]
    Topology {
        /// Id of the host.
        host: String,
        /// Name of the slot.
        slot: String,
        /// Features that the host passes there.
        found: String,
        /// What the task asks for.
        wanted: String,
    },
    /// A seed leaked into host layers that isolation promises to keep from it.
    #[error(
        "seed `{seed_id}` in slot `{slot}` gives isolated host layers a gradient: {violations} shadow checks failed in this epoch"
    )]
    Isolation {
        /// Name of the slot.
        slot: String,
        /// Name of the seed.
        seed_id: String,
        /// How many captures showed it.
        violations: u32,
    },
    /// The optimizer refuses a removal.
    #[error("the optimizer refuses: {0}")]
    Sink(#[from] SinkError),
    /// The ranks did not come to a decision.
    #[error(transparent)]
    Consensus(#[from] ConsensusError),
    /// A change that the model makes by itself, such as the end of a trial, was refused.
    #[error(transparent)]
    Command(Box<CommandError>),
    /// Author code failed, or a call into libtorch beside it.
    #[error(transparent)]
    Plugin(#[from] PluginError),
    /// A libtorch call failed.
    #[error(transparent)]
    Torch(#[from] kasmina_torch_ext::Error),
}

/// Why a command changed nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    /// The lifecycle refused the request.
    #[error("{}", .0.message)]
    Refused(#[from] Refusal),
    /// There is no such slot.
    #[error("there is no slot `{slot}`; the model has {}", if known.is_empty() { "none".to_owned() } else { known.join(", ") })]
    UnknownSlot {
        /// Slot that was asked for.
        slot: String,
        /// Names and aliases of the host's slots.
        known: Vec<String>,
    },
    /// As many seeds live as the run allows.
    #[error("{limit} seeds live, and `max_seeds` allows no more")]
    MaxSeeds {
        /// How many may live at the same time, fossilized ones included.
        limit: u32,
    },
    /// The blueprint or blend is missing, or cannot be built.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The seed may not live here.
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
    /// The blend may not take another's place here.
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
    /// A build without what lives of another.
    #[error("the new build of `{plugin}` brings no blend `{blend}`, which lives in slot `{slot}`")]
    NotBrought {
        /// Id of the blend that the new build lacks.
        blend: String,
        /// Name of the slot whose seed uses the blend.
        slot: String,
        /// Name of the plugin that was to be swapped.
        plugin: String,
    },
    /// A parameter of the seed is another's already.
    #[error(transparent)]
    Ownership(#[from] Box<OwnershipError>),
    /// The optimizer refuses the parameters.
    #[error("the optimizer refuses: {0}")]
    Sink(#[from] SinkError),
    /// A trial ends on each rank by itself, and they would part.
    #[error("under several ranks builds are not swapped: a trial could end otherwise on each of them")]
    SeveralRanks,
    /// Another rank refused the command.
    #[error("another rank refused it; all ranks do it, or none")]
    Vetoed,
    /// The ranks did not come to a decision.
    #[error(transparent)]
    Consensus(#[from] ConsensusError),
    /// The system gives no thread for the work that is to be done ahead.
    #[error("no thread for the work ahead: {0}")]
    Thread(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Author code failed, or a call into libtorch beside it.
    #[error(transparent)]
    Plugin(#[from] PluginError),
    /// A libtorch call failed.
    #[error(transparent)]
    Torch(#[from] kasmina_torch_ext::Error),
}

impl CommandError {
    /// Whether there was not enough memory, wherever that was found: while a seed was built, probed or
    /// called.
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

    /// A stable code, for journals.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Refused(refusal) => refusal.code.as_str(),
            other => other.own_code().as_str(),
        }
    }

    /// The code where the lifecycle does not refuse.
    fn own_code(&self) -> CommandCode {
        match self {
            Self::UnknownSlot { .. } => CommandCode::UnknownSlot,
            Self::MaxSeeds { .. } => CommandCode::MaxSeeds,
            _ if self.is_out_of_memory() => CommandCode::OutOfMemory,
            Self::Registry(RegistryError::Build { .. }) => CommandCode::BuildFailed,
            Self::Registry(_) => CommandCode::PluginUnavailable,
            Self::Probe { .. } | Self::ProbeBlend { .. } => CommandCode::ProbeFailed,
            Self::NotBrought { .. } => CommandCode::NotBrought,
            Self::Ownership(_) => CommandCode::ParameterOwned,
            Self::Sink(_) => CommandCode::OptimizerRefused,
            Self::SeveralRanks => CommandCode::SeveralRanks,
            Self::Vetoed => CommandCode::DdpVeto,
            Self::Consensus(error) => error.code(),
            Self::Thread(_) => CommandCode::NoThread,
            Self::Plugin(error) => code_of(error.kind),
            Self::Refused(_) | Self::Torch(_) => CommandCode::Torch,
        }
    }
}

/// tch's failures are errors of author code's kind: their text is read for what libtorch refused.
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

/// The stable code of a failure of author code, for journals.
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
