//! What a live run can be asked, what it answers, and what reaches its training thread.

use kasmina_registry::{RegistryError, Staged};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::path::PathBuf;
use std::sync::mpsc::Sender;

/// The socket's name in a run directory.
pub const SOCKET: &str = "control.sock";

/// What a run can be asked, as a line of JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Request {
    /// Asks for the state of the run.
    Status,
    /// Take another build of a plugin.
    Swap {
        /// Path of the plugin's file.
        path: PathBuf,
    },
    /// Wait before the next step.
    Pause,
    /// Goes on after a pause.
    Resume,
    /// Remove the seed of a slot, at the end of the epoch.
    Prune {
        /// Slot, by name or alias.
        slot: String,
    },
    /// End cleanly after this step.
    Stop,
}

/// Answer of a run to a request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// It is done; with what there is to say.
    Done(Value),
    /// It is not, and why.
    Refused {
        /// Error of the request.
        error: String,
        /// What to do about it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        help: Option<String>,
    },
}

/// What the training thread is to deal with between two steps.
pub(crate) enum ControlMessage {
    /// A request that only the training thread can answer.
    Request(Request, Sender<Reply>),
    /// A build that was judged, tried and opened, or refused; with who waits for an answer, if somebody does.
    Build(PathBuf, Box<Result<Staged, RegistryError>>, Option<Sender<Reply>>),
}
