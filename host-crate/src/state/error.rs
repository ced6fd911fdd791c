//! Why a state cannot be given back.

use kasmina_plugin_api::PluginError;
use kasmina_registry::RegistryError;
use kasmina_torch_ext::SinkError;

/// A state that does not fit, or cannot be had now.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// A build is on trial: what it would be set back to cannot be kept.
    #[error("a build is on trial; a state can be had when its trial is over")]
    OnTrial,
    /// The model has another host.
    #[error("the state is of host `{wanted}`, this model has `{found}`")]
    Host {
        /// The host of the state.
        wanted: String,
        /// The host of the model.
        found: String,
    },
    /// The host has no slot of this name any more, or it was not asked for.
    #[error("the state has a slot `{slot}`; this model has {}", listed(known))]
    NoSlot {
        /// The slot of the state.
        slot: String,
        /// The slots of the model.
        known: Vec<String>,
    },
    /// The model has a slot that the state does not know.
    #[error("this model has a slot `{slot}`; the state has {}", listed(known))]
    NewSlot {
        /// The slot of the model.
        slot: String,
        /// The slots of the state.
        known: Vec<String>,
    },
    /// Something else flows through the slot.
    #[error("slot `{slot}` is `{wanted}` in the state and `{found}` in this model")]
    Topology {
        /// Name of the slot.
        slot: String,
        /// Features that the state was saved with.
        wanted: String,
        /// Features at the slot now.
        found: String,
    },
    /// A tensor is not there.
    #[error("tensor `{name}` is missing")]
    Missing {
        /// Name of the tensor.
        name: String,
    },
    /// A tensor has another shape or dtype.
    #[error("tensor `{name}` is {found}, this model has {wanted}")]
    Other {
        /// Name of the tensor.
        name: String,
        /// dtype and shape in the state.
        found: String,
        /// dtype and shape in the model.
        wanted: String,
    },
    /// Tensors that nothing goes by.
    #[error("nothing of this model goes by the {} `{}`", if names.len() == 1 { "name" } else { "names" }, names.join("`, `"))]
    Extra {
        /// Names of the tensors.
        names: Vec<String>,
    },
    /// A plugin cannot build what it has built, or is not there.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// Author code refused its state, or libtorch failed beside it.
    #[error(transparent)]
    Plugin(#[from] PluginError),
    /// The optimizer refused the parameters.
    #[error("the optimizer refuses: {0}")]
    Sink(#[from] SinkError),
    /// A germination that was being made ready cannot be begun again.
    #[error("the germination that slot `{slot}` was reserved for cannot be begun again: {error}")]
    Germination {
        /// Name of the slot.
        slot: String,
        /// Error of the module that was to be restored.
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
