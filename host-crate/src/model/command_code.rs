//! The stable codes of refused commands, besides those of the lifecycle.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $name:ident => $code:literal,)+) => {
        /// Why a command was refused, as journals have it. `docs/troubleshooting.md` has a heading for each.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
        #[non_exhaustive]
        pub enum CommandCode {
            $($(#[doc = $doc])+ #[serde(rename = $code)] $name,)+
        }

        impl CommandCode {
            /// The text of the code.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $code,)+
                }
            }
        }
    };
}

codes! {
    /// The model has no such slot.
    UnknownSlot => "unknown_slot",
    /// As many seeds live as the run allows.
    MaxSeeds => "max_seeds",
    /// The plugin of a blueprint or blend is not loaded.
    PluginUnavailable => "plugin_unavailable",
    /// The plugin cannot build it.
    BuildFailed => "build_failed",
    /// It does not fit the slot.
    ProbeFailed => "probe_failed",
    /// The new build lacks an entry that a living seed uses.
    NotBrought => "not_brought",
    /// A parameter has an owner already.
    ParameterOwned => "parameter_owned",
    /// The optimizer does not take the parameters.
    OptimizerRefused => "optimizer_refused",
    /// Several ranks cannot do it.
    SeveralRanks => "several_ranks",
    /// Another rank refused the command.
    DdpVeto => "ddp_veto",
    /// The system cannot start a thread.
    NoThread => "no_thread",
    /// A libtorch call failed.
    Torch => "torch",
    /// There is not enough memory.
    OutOfMemory => "out_of_memory",
    /// A plugin refuses its configuration.
    PluginConfig => "plugin_config",
    /// A plugin breaks a promise.
    PluginContract => "plugin_contract",
    /// A call of the plugin panicked.
    PluginPanic => "plugin_panic",
    /// A plugin does not support it.
    PluginUnsupported => "plugin_unsupported",
    /// A call of the plugin failed for another reason.
    PluginFailed => "plugin_failed",
    /// Ranks ask for different things.
    RanksOutOfStep => "ranks_out_of_step",
    /// A rank does not answer.
    RankTimeout => "rank_timeout",
    /// A rank could not carry out what all had agreed to.
    RankUnable => "rank_unable",
    /// The exchange between ranks fails.
    RankExchange => "rank_exchange",
}
