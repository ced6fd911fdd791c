//! The two-phase door through which parameters enter and leave an optimizer.

use tch::Tensor;

/// A parameter and the name it goes by in checkpoints and optimizer state.
#[derive(Debug)]
pub struct NamedParameter {
    /// Full name, such as `slot.early.seed.conv.weight`.
    pub name: String,
    /// A handle on the parameter itself.
    pub tensor: Tensor,
}

impl NamedParameter {
    /// Another handle on the same parameter.
    #[must_use]
    pub fn share(&self) -> Self {
        Self { name: self.name.clone(), tensor: self.tensor.shallow_clone() }
    }

    /// What makes two handles the same parameter: where it lies. Empty tensors lie nowhere.
    pub fn address(&self) -> Option<usize> {
        address(&self.tensor)
    }
}

pub(crate) fn address(tensor: &Tensor) -> Option<usize> {
    let address = tensor.data_ptr() as usize;
    (address != 0).then_some(address)
}

/// What an owner is; rates may differ by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Parameters of the host network.
    Host,
    /// Parameters of a seed.
    Seed,
    /// The gate of a blend.
    Gate,
}

/// A structural change that is asked for.
#[derive(Debug)]
pub enum Change {
    /// A new owner brings its parameters.
    Add {
        /// Who owns them: `host`, `slot.early.seed`.
        owner: String,
        /// Role of the parameters.
        role: Role,
        /// Parameters that are added.
        parameters: Vec<NamedParameter>,
    },
    /// An owner's parameters stand elsewhere now, on another device; their optimizer state goes with them.
    Replace {
        /// Owner of the parameters.
        owner: String,
        /// The same names, other tensors.
        parameters: Vec<NamedParameter>,
    },
    /// An owner's parameters are exchanged for others, which may have other names: state follows names and
    /// shapes, and begins anew where there is none. What was there before is kept as it is, until the change
    /// is restored or settled.
    Exchange {
        /// Owner of the parameters.
        owner: String,
        /// Role of the parameters.
        role: Role,
        /// What it brings now; nothing is possible, before and after.
        parameters: Vec<NamedParameter>,
    },
    /// As [`Exchange`](Self::Exchange), but nothing of what was there before is kept.
    Substitute {
        /// Owner of the parameters.
        owner: String,
        /// Role of the parameters.
        role: Role,
        /// What it brings now; nothing is possible, before and after.
        parameters: Vec<NamedParameter>,
    },
    /// What was there before an exchange is there again, with its state of then.
    Restore {
        /// Owner of the parameters.
        owner: String,
    },
    /// What was there before an exchange is let go of.
    Settle {
        /// Owner of the parameters.
        owner: String,
    },
    /// An owner leaves; its parameters and their optimizer state go with it.
    Remove {
        /// Owner of the parameters that are removed.
        owner: String,
    },
}

/// A prepared change, to be committed or aborted.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Clone, Copy)]
pub struct Ticket(pub u64);

/// Why a change cannot be made.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum SinkError {
    /// The owner already has a group.
    #[error("the optimizer already holds a group `{0}`")]
    DuplicateOwner(String),
    /// Nothing was exchanged that could be restored or settled.
    #[error("the optimizer has exchanged nothing of `{0}`")]
    NothingExchanged(String),
    /// There is no such group.
    #[error("the optimizer holds no group `{0}`")]
    UnknownOwner(String),
    /// Two owners claim one tensor.
    #[error("parameter `{name}` of `{owner}` already belongs to `{other}`")]
    SharedParameter {
        /// Name of the parameter.
        name: String,
        /// Owner that adds it.
        owner: String,
        /// Owner that has it already.
        other: String,
    },
    /// State could not be made.
    #[error("no optimizer state for `{owner}`: {reason}")]
    State {
        /// Owner of the state.
        owner: String,
        /// Message of libtorch.
        reason: String,
    },
}

/// Takes parameters in and out in two phases, so that a structural change is made whole or not at all.
///
/// `prepare` does everything that can fail and changes nothing that a step would see; then exactly one of
/// `commit` (which cannot fail) and `abort` follows.
pub trait ParameterSink {
    /// Checks the change and makes its state.
    ///
    /// # Errors
    /// If the change cannot be made; then there is no ticket and nothing has changed.
    fn prepare(&mut self, change: Change) -> Result<Ticket, SinkError>;
    /// Makes a prepared change visible to the next step.
    fn commit(&mut self, ticket: Ticket);
    /// Discards a prepared change.
    fn abort(&mut self, ticket: Ticket);
}

/// Accepts everything and optimizes nothing: for inference and for tests of the structure alone.
impl ParameterSink for () {
    fn prepare(&mut self, _change: Change) -> Result<Ticket, SinkError> {
        Ok(Ticket(0))
    }
    fn commit(&mut self, _ticket: Ticket) {}
    fn abort(&mut self, _ticket: Ticket) {}
}
