//! Requests to a live run, its replies, and the messages to its training thread.

use kasmina_registry::{RegistryError, Staged};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::path::PathBuf;
use std::sync::mpsc::Sender;

/// Name of the control socket in a run directory.
pub const SOCKET: &str = "control.sock";

/// Request to a live run, sent as a line of JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Request {
    /// Returns the state of the run.
    Status,
    /// Swaps in another build of a plugin.
    Swap {
        /// Path of the plugin's file.
        path: PathBuf,
    },
    /// Pauses the run before the next step.
    Pause,
    /// Continues a paused run.
    Resume,
    /// Prunes the seed of a slot at the end of the epoch.
    Prune {
        /// Name or alias of the slot.
        slot: String,
    },
    /// Ends the run after the current step, with a checkpoint and a summary.
    Stop,
}

/// Reply of a run to a request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// The request was executed; the value is its result.
    Done(Value),
    /// The request was refused.
    Refused {
        /// Why it was refused.
        error: String,
        /// Remedy, if there is one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        help: Option<String>,
    },
}

/// Message that the training thread handles between two steps.
pub(crate) enum ControlMessage {
    /// A request with the sender of its reply.
    Request(Request, Sender<Reply>),
    /// The file of a build, the checked and opened build or the error that refused it, and the sender of the
    /// reply if a client waits for one.
    Build(PathBuf, Box<Result<Staged, RegistryError>>, Option<Sender<Reply>>),
}
