//! The stable codes of refused commands, except those of the lifecycle.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $name:ident => $code:literal,)+) => {
        /// Code of a refused command, as written to journals. `docs/troubleshooting.md` explains each.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
        #[non_exhaustive]
        pub enum CommandCode {
            $($(#[doc = $doc])+ #[serde(rename = $code)] $name,)+
        }

        impl CommandCode {
            /// Returns the code's text, as in journals.
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
    /// `max_seeds` slots are occupied.
    MaxSeeds => "max_seeds",
    /// The plugin of a blueprint or blend is not loaded.
    PluginUnavailable => "plugin_unavailable",
    /// The plugin cannot build the seed or blend.
    BuildFailed => "build_failed",
    /// The seed or blend does not fit the slot.
    ProbeFailed => "probe_failed",
    /// The new build lacks a blend that is in use.
    MissingBlend => "not_brought",
    /// A parameter already has an owner.
    ParameterOwned => "parameter_owned",
    /// The optimizer refused the parameters.
    OptimizerRefused => "optimizer_refused",
    /// Another rank refused the command.
    DdpVeto => "ddp_veto",
    /// The system cannot start a thread.
    NoThread => "no_thread",
    /// A libtorch call failed.
    Torch => "torch",
    /// There is not enough memory.
    OutOfMemory => "out_of_memory",
    /// A plugin refused its configuration.
    PluginConfig => "plugin_config",
    /// A plugin broke its contract.
    PluginContract => "plugin_contract",
    /// A call of the plugin panicked.
    PluginPanic => "plugin_panic",
    /// A plugin does not support the request.
    PluginUnsupported => "plugin_unsupported",
    /// A call of the plugin failed for another reason.
    PluginFailed => "plugin_failed",
    /// The states or requests of the ranks differ.
    RanksOutOfStep => "ranks_out_of_step",
    /// A rank did not answer in time.
    RankTimeout => "rank_timeout",
    /// A rank cannot carry out the common decision.
    RankUnable => "rank_unable",
    /// The exchange between ranks failed.
    RankExchange => "rank_exchange",
}
