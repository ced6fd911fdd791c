//! The faults, and how a run of several ranks must react to each.

/// A fault of one rank, the victim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    Killed,
    Stopped,
    Paused,
    Terminated,
    FullDisk,
    ExitsInVote,
    FailsInBuild,
    Late,
    Unhealthy,
    Panics,
    OtherWeights,
    OtherSetting,
    OtherBuild,
    OtherData,
    WrongSize,
    NoDevice,
    PortInUse,
    NoRoute,
}

/// How the other ranks react.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Reaction {
    /// They end with an error that contains this text.
    End(&'static str),
    /// They go on.
    GoOn,
}

impl Fault {
    /// Every fault.
    pub(crate) const ALL: [Self; 18] = [
        Self::Killed,
        Self::Stopped,
        Self::Paused,
        Self::Terminated,
        Self::FullDisk,
        Self::ExitsInVote,
        Self::FailsInBuild,
        Self::Late,
        Self::Unhealthy,
        Self::Panics,
        Self::OtherWeights,
        Self::OtherSetting,
        Self::OtherBuild,
        Self::OtherData,
        Self::WrongSize,
        Self::NoDevice,
        Self::PortInUse,
        Self::NoRoute,
    ];

    /// Description for the table.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Killed => "SIGKILL",
            Self::Stopped => "SIGSTOP",
            Self::Paused => "SIGSTOP, SIGCONT after 2 s",
            Self::Terminated => "SIGTERM",
            Self::FullDisk => "full disk on rank 0 for a while",
            Self::ExitsInVote => "exit while the others vote",
            Self::FailsInBuild => "a seed cannot be built on one rank",
            Self::Late => "a step takes longer than the limit",
            Self::Unhealthy => "a seed is NaN on one rank: its gate differs",
            Self::Panics => "a seed panics on one rank",
            Self::OtherWeights => "other weights after an epoch",
            Self::OtherSetting => "another setting",
            Self::OtherBuild => "another build of a plugin",
            Self::OtherData => "other data",
            Self::WrongSize => "another number of ranks",
            Self::NoDevice => "a device that the rank lacks",
            Self::PortInUse => "the port is in use",
            Self::NoRoute => "no route to rank 0",
        }
    }

    /// How the other ranks react.
    pub(crate) fn reaction(self) -> Reaction {
        match self {
            Self::Paused | Self::Terminated | Self::FullDisk | Self::FailsInBuild | Self::Unhealthy => {
                Reaction::GoOn
            }
            Self::Killed | Self::Stopped | Self::ExitsInVote => Reaction::End("has given no sign of life"),
            Self::Late => Reaction::End("is late"),
            Self::Panics => Reaction::End("was told to panic"),
            Self::OtherWeights => Reaction::End("of rank 1 differ from those of rank 0"),
            Self::OtherSetting => Reaction::End(
                "differs from rank 0: setting `optimizer.learning_rate` is `0.001` there, `0.002` on rank 0",
            ),
            Self::OtherBuild => {
                Reaction::End("differs from rank 0: build of plugin fixture_dropout is `absent` there")
            }
            Self::OtherData => Reaction::End("differs from rank 0: SHA-256 of the training data is `"),
            Self::WrongSize => Reaction::End("differs from rank 0: the number of ranks is `"),
            Self::NoDevice => Reaction::End("ended: device `cuda` is not available"),
            Self::PortInUse => Reaction::End("rank 0 cannot serve the store of the ranks at 127.0.0.1:"),
            Self::NoRoute => Reaction::End("rank 1 cannot reach the store of the ranks at 192.0.2.1:"),
        }
    }

    /// Whether it is there before the ranks have met, so that the run has no checkpoint.
    pub(crate) fn is_at_start(self) -> bool {
        match self {
            Self::OtherSetting
            | Self::OtherBuild
            | Self::OtherData
            | Self::WrongSize
            | Self::NoDevice
            | Self::PortInUse
            | Self::NoRoute => true,
            Self::Killed
            | Self::Stopped
            | Self::Paused
            | Self::Terminated
            | Self::FullDisk
            | Self::ExitsInVote
            | Self::FailsInBuild
            | Self::Late
            | Self::Unhealthy
            | Self::Panics
            | Self::OtherWeights => false,
        }
    }

    /// Whether the other ranks wait a minute, the time that a rank has for its start.
    pub(crate) fn is_slow(self) -> bool {
        matches!(self, Self::PortInUse | Self::NoRoute)
    }

    /// Blueprint of the run's seed. Those of the fixture misbehave on rank 1.
    pub(crate) fn blueprint(self) -> &'static str {
        match self {
            Self::ExitsInVote => "exits_in_build",
            Self::FailsInBuild => "fails_in_build",
            Self::Late => "sleeps",
            Self::Unhealthy => "nan",
            Self::Panics => "panics",
            Self::OtherWeights => "own_state",
            _ => "conv_light",
        }
    }

    /// Whether the seed of the run misbehaves.
    pub(crate) fn is_of_seed(self) -> bool {
        self.blueprint() != Self::Killed.blueprint()
    }
}
