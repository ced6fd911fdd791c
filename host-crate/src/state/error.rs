//! Why a state cannot be taken or restored.

use kasmina_plugin_api::PluginError;
use kasmina_registry::RegistryError;
use kasmina_torch_ext::SinkError;

/// Why a state cannot be taken, or does not fit the model that it is restored into.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// A build is on trial: a state cannot contain what a rollback needs.
    #[error("a build is on trial; end its trial before taking a state")]
    OnTrial,
    /// The model has another host.
    #[error("the state was taken with host `{wanted}`; this model has host `{found}`")]
    Host {
        /// Full name of the state's host.
        wanted: String,
        /// Full name of the model's host.
        found: String,
    },
    /// The model lacks a slot of the state: the host no longer declares it, or the configuration does not
    /// request it.
    #[error("the state has a slot `{slot}`; this model has {}", listed(known))]
    NoSlot {
        /// Name of the slot in the state.
        slot: String,
        /// Names of the model's slots.
        known: Vec<String>,
    },
    /// The model has a slot that the state lacks.
    #[error("this model has a slot `{slot}`; the state has {}", listed(known))]
    MissingSlot {
        /// Name of the slot in the model.
        slot: String,
        /// Names of the state's slots.
        known: Vec<String>,
    },
    /// The slot has another topology.
    #[error("slot `{slot}` is `{wanted}` in the state and `{found}` in this model")]
    Topology {
        /// Name of the slot.
        slot: String,
        /// Topology of the slot in the state.
        wanted: String,
        /// Topology of the slot in the model.
        found: String,
    },
    /// The state lacks a tensor that the model needs.
    #[error("tensor `{name}` is missing")]
    MissingTensor {
        /// Name of the tensor.
        name: String,
    },
    /// A tensor has another shape or dtype.
    #[error("tensor `{name}` is {found}, this model has {wanted}")]
    TensorMismatch {
        /// Name of the tensor.
        name: String,
        /// Dtype and shape in the state.
        found: String,
        /// Dtype and shape in the model.
        wanted: String,
    },
    /// The state has tensors that the model has no use for.
    #[error(
        "this model has no {} `{}`, which the state contains",
        if names.len() == 1 { "tensor" } else { "tensors" },
        names.join("`, `")
    )]
    UnknownTensors {
        /// Names of the tensors.
        names: Vec<String>,
    },
    /// A plugin is missing, or cannot build an instance again.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// A plugin refused its state, or a libtorch call failed.
    #[error(transparent)]
    Plugin(#[from] PluginError),
    /// The optimizer refused the parameters.
    #[error("the optimizer refuses: {0}")]
    Sink(#[from] SinkError),
    /// A prefetched germination cannot be started again.
    #[error("the prefetched germination in slot `{slot}` cannot be started again: {error}")]
    Germination {
        /// Name of the slot.
        slot: String,
        /// Why the germination was refused.
        #[source]
        error: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A libtorch call failed.
    #[error(transparent)]
    Torch(#[from] kasmina_torch_ext::Error),
}

impl From<tch::TchError> for StateError {
    fn from(error: tch::TchError) -> Self {
        PluginError::from(error).into()
    }
}

fn listed(known: &[String]) -> String {
    if known.is_empty() { "none".to_owned() } else { known.join(", ") }
}
