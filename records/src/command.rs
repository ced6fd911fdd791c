//! Rows of `commands.jsonl`.

use kasmina_lifecycle::{Command, Executed};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Name of the file of commands in a run directory.
pub const COMMANDS: &str = "commands.jsonl";

/// One command, as written to `commands.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CommandRow {
    /// Epoch at whose end the command was given, counted from 1.
    pub epoch: u32,
    /// Command as it was given.
    #[serde(flatten)]
    pub command: Command,
    /// Name of the command's slot, even if the command uses an alias; absent if the model has no such slot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slot_id: Option<String>,
    /// Whether the run gave the command by itself: for a prefetched germination, for a preinstalled seed, or
    /// for a seed that was unhealthy for too long.
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

/// Reason of a refused command.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ErrorRow {
    /// Stable code, for programs.
    pub code: String,
    /// Explanation in one sentence, for people.
    pub message: String,
}
