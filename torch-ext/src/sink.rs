//! Two-phase interface for adding parameters to an optimizer and removing them.

use tch::Tensor;

/// A parameter and its name in checkpoints and optimizer state.
#[derive(Debug)]
pub struct NamedParameter {
    /// Full name, such as `slot.early.seed.conv.weight`.
    pub name: String,
    /// A handle on the parameter itself.
    pub tensor: Tensor,
}

impl NamedParameter {
    /// Returns another handle on the same parameter.
    #[must_use]
    pub fn share(&self) -> Self {
        Self { name: self.name.clone(), tensor: self.tensor.shallow_clone() }
    }

    /// Returns the address of the data, which is equal for two handles on one parameter; `None` for an empty
    /// tensor.
    pub fn address(&self) -> Option<usize> {
        address(&self.tensor)
    }
}

pub(crate) fn address(tensor: &Tensor) -> Option<usize> {
    let address = tensor.data_ptr() as usize;
    (address != 0).then_some(address)
}

/// Kind of an owner of parameters. Learning-rate factors and warm-ups are set by role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Parameters of the host network.
    Host,
    /// Parameters of a seed.
    Seed,
    /// The gate of a blend.
    Gate,
}

/// A requested change of an optimizer's groups.
#[derive(Debug)]
pub enum Change {
    /// Adds a group for a new owner.
    Add {
        /// Owner of the parameters, such as `host` or `slot.early.seed`.
        owner: String,
        /// Role of the parameters.
        role: Role,
        /// Parameters that are added.
        parameters: Vec<NamedParameter>,
    },
    /// Replaces an owner's parameters by copies on another device; their optimizer state is copied with them.
    Replace {
        /// Owner of the parameters.
        owner: String,
        /// The same names, other tensors.
        parameters: Vec<NamedParameter>,
    },
    /// Exchanges an owner's parameters for others, which may have other names. State is copied for parameters
    /// with the same name and shape, and starts at zero for the others. The previous group is kept until the
    /// change is restored or settled.
    Exchange {
        /// Owner of the parameters.
        owner: String,
        /// Role of the parameters.
        role: Role,
        /// New parameters. May be empty, as may the previous ones.
        parameters: Vec<NamedParameter>,
    },
    /// Like [`Exchange`](Self::Exchange), but the previous group is not kept.
    Substitute {
        /// Owner of the parameters.
        owner: String,
        /// Role of the parameters.
        role: Role,
        /// New parameters. May be empty, as may the previous ones.
        parameters: Vec<NamedParameter>,
    },
    /// Reverts an exchange: the previous group returns, with its state at the time of the exchange.
    Restore {
        /// Owner of the parameters.
        owner: String,
    },
    /// Confirms an exchange: the previous group is dropped.
    Settle {
        /// Owner of the parameters.
        owner: String,
    },
    /// Removes an owner's group with its optimizer state.
    Remove {
        /// Owner of the parameters that are removed.
        owner: String,
    },
}

/// Identifier of a prepared change, which must be committed or aborted.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Clone, Copy)]
pub struct Ticket(pub u64);

/// Why a change cannot be made.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum SinkError {
    /// The owner already has a group.
    #[error("the optimizer already holds a group `{0}`")]
    DuplicateOwner(String),
    /// The owner has no exchange that could be restored or settled.
    #[error("the optimizer has no exchange of `{0}` to restore or settle")]
    NothingExchanged(String),
    /// The owner has no group.
    #[error("the optimizer holds no group `{0}`")]
    UnknownOwner(String),
    /// A parameter already belongs to another owner.
    #[error("parameter `{name}` of `{owner}` already belongs to `{other}`")]
    SharedParameter {
        /// Name of the parameter.
        name: String,
        /// Owner of the new group.
        owner: String,
        /// Owner that already has the parameter.
        other: String,
    },
    /// Optimizer state could not be created, copied or restored.
    #[error("no optimizer state for `{owner}`: {reason}")]
    State {
        /// Owner of the state.
        owner: String,
        /// Why, in words: a message of libtorch, or the mismatch that was found.
        reason: String,
    },
}

/// Adds and removes parameters in two phases, so that a structural change is made completely or not at all.
///
/// `prepare` does everything that can fail and changes nothing that affects a step. It must be followed by
/// exactly one of `commit`, which cannot fail, and `abort`.
pub trait ParameterSink {
    /// Checks a change and allocates its optimizer state.
    ///
    /// # Errors
    /// If the change cannot be made; then nothing has changed.
    fn prepare(&mut self, change: Change) -> Result<Ticket, SinkError>;
    /// Makes a prepared change visible to the next step.
    fn commit(&mut self, ticket: Ticket);
    /// Discards a prepared change.
    fn abort(&mut self, ticket: Ticket);
}

/// Accepts every change and optimizes nothing: for inference, and for tests without an optimizer.
impl ParameterSink for () {
    fn prepare(&mut self, _change: Change) -> Result<Ticket, SinkError> {
        Ok(Ticket(0))
    }
    fn commit(&mut self, _ticket: Ticket) {}
    fn abort(&mut self, _ticket: Ticket) {}
}
