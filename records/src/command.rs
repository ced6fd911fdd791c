//! The lines of `commands.jsonl`.

use kasmina_lifecycle::{Command, Executed};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Name of the file of commands in a run directory.
pub const COMMANDS: &str = "commands.jsonl";

/// One command, as written to `commands.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CommandRow {
    /// At the end of this epoch.
    pub epoch: u32,
    /// Command as it was given.
    #[serde(flatten)]
    pub command: Command,
    /// The own name of the slot that it concerns, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slot_id: Option<String>,
    /// Whether nobody asked for it: the landing of a germination that was made ready ahead, what the
    /// configuration plants, or a seed that was unhealthy for too long.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub landed: bool,
    /// Whether the command was carried out.
    pub accepted: bool,
    /// Effect of the command; absent if it was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub did: Option<Executed>,
    /// Reason of a refusal; absent if the command was carried out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorRow>,
}

/// Why a command was refused.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ErrorRow {
    /// Stable code, for programs.
    pub code: String,
    /// One sentence, for people.
    pub message: String,
}
