//! Kinds of faults.

/// A fault that is injected into a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// SIGKILL as soon as this file of a checkpoint exists that is being written; "" is the folder itself.
    KillAtFile(&'static str),
    /// SIGKILL at a random moment.
    Kill,
    /// A signal that ends a run cleanly, by its name.
    Signal(&'static str),
    /// A full disk for a while.
    FullDisk,
    /// SIGKILL; then a bit of a file of the newest checkpoint is flipped.
    Flip,
    /// SIGKILL; then a file of the newest checkpoint is truncated.
    Truncate,
    /// SIGKILL; then a file of the newest checkpoint is removed.
    Remove,
    /// SIGKILL; then the run's copies of its plugins are removed.
    RemovePlugins,
    /// The folder of checkpoints cannot be written for a while.
    Permissions,
}

impl Fault {
    /// The faults in the order in which they are injected.
    pub(crate) const ALL: [Self; 17] = [
        Self::KillAtFile("model.safetensors"),
        Self::KillAtFile("optimizer.safetensors"),
        Self::KillAtFile("training.safetensors"),
        Self::KillAtFile("state.json"),
        Self::KillAtFile("manifest.json"),
        Self::KillAtFile(""),
        Self::Kill,
        Self::Kill,
        Self::Signal("TERM"),
        Self::Signal("INT"),
        Self::Signal("USR1"),
        Self::FullDisk,
        Self::Flip,
        Self::Truncate,
        Self::Remove,
        Self::RemovePlugins,
        Self::Permissions,
    ];

    /// Name of the fault's row in the table.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::KillAtFile("") => "killed when the folder of a checkpoint was made",
            Self::KillAtFile("model.safetensors") => "killed at model.safetensors",
            Self::KillAtFile("optimizer.safetensors") => "killed at optimizer.safetensors",
            Self::KillAtFile("training.safetensors") => "killed at training.safetensors",
            Self::KillAtFile("state.json") => "killed at state.json",
            Self::KillAtFile(_) => "killed at manifest.json",
            Self::Kill => "killed at any moment",
            Self::Signal(_) => "SIGTERM, SIGINT, SIGUSR1",
            Self::FullDisk => "full disk for a while",
            Self::Flip => "killed, a bit of the newest checkpoint flipped",
            Self::Truncate => "killed, a file of the newest checkpoint truncated",
            Self::Remove => "killed, a file of the newest checkpoint removed",
            Self::RemovePlugins => "killed, the copies of plugins removed",
            Self::Permissions => "the folder of checkpoints replaced for a while",
        }
    }
}
