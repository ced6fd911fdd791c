//! The accidents.

/// What happens to a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// SIGKILL as soon as a file of a checkpoint that is being written is there.
    KillAtFile(&'static str),
    /// SIGKILL at any moment.
    Kill,
    /// A signal that asks to end.
    Signal(&'static str),
    /// No file can grow for a while.
    FullDisk,
    /// SIGKILL, and then a bit of a file of the newest checkpoint is another one.
    Flip,
    /// SIGKILL, and then a file of the newest checkpoint is cut off.
    Truncate,
    /// SIGKILL, and then a file of the newest checkpoint is gone.
    Remove,
    /// SIGKILL, and then the run's own copies of plugins are gone.
    RemovePlugins,
    /// The folder of checkpoints cannot be written for a while.
    Permissions,
}

impl Fault {
    /// Each in its turn.
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

    pub(crate) fn told(self) -> &'static str {
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
