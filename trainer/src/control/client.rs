//! Asking a run that lives in another process.

use super::line::{Line, ReadError};
use super::socket::SIGN_OF_LIFE;
use super::{Reply, Request, SOCKET};
use serde_json::Value;
use std::fs::File;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a run may give no sign of life: it gives one every few seconds while it works on an answer.
const PATIENCE: Duration = SIGN_OF_LIFE.saturating_mul(6);

/// Why there is no good answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ControlError {
    /// No run listens in the directory.
    #[error("no run is live in {}: {reason}", path.display())]
    NotLive {
        /// Run directory that was named.
        path: PathBuf,
        /// Message of the system.
        reason: String,
    },
    /// The run has ended meanwhile, or answers what cannot be read.
    #[error("the run in {} gave no answer: {reason}", path.display())]
    NoAnswer {
        /// Run directory that was named.
        path: PathBuf,
        /// What went wrong.
        reason: String,
    },
    /// The run does not do it.
    #[error("{error}")]
    Refused {
        /// Error of the run.
        error: String,
        /// What to do about it, if the run says so.
        help: Option<String>,
    },
}

/// Asks the run in a directory, and waits for its answer.
///
/// # Errors
/// If no run is live there, or it refuses.
pub fn ask(run: &Path, request: &Request) -> Result<Value, ControlError> {
    let not_live = |e: std::io::Error| ControlError::NotLive { path: run.to_owned(), reason: e.to_string() };
    let folder = File::open(run).map_err(not_live)?;
    let short = format!("/proc/self/fd/{}/{SOCKET}", folder.as_raw_fd());
    let mut stream = UnixStream::connect(short).map_err(not_live)?;
    // Another user's socket would receive the request, and its answer would be taken for the run's.
    let (own, peer) = (rustix::process::geteuid(), rustix::net::sockopt::socket_peercred(&stream));
    match peer {
        Ok(peer) if peer.uid == own => {}
        Ok(peer) => {
            let reason = format!("another user (id {}) listens there", peer.uid.as_raw());
            return Err(ControlError::NotLive { path: run.to_owned(), reason });
        }
        Err(error) => return Err(not_live(error.into())),
    }
    let no_answer = |reason: String| ControlError::NoAnswer { path: run.to_owned(), reason };
    let line = serde_json::to_string(request).map_err(|e| no_answer(e.to_string()))?;
    stream.set_write_timeout(Some(PATIENCE)).map_err(|e| no_answer(e.to_string()))?;
    writeln!(stream, "{line}").map_err(|e| no_answer(e.to_string()))?;
    let answer = Line::new(&stream).within(PATIENCE).after_signs_of_life().read().map_err(|error| {
        no_answer(match error {
            ReadError::TooLate => format!("it has given no sign of life for {} s", PATIENCE.as_secs()),
            ReadError::Closed => "it has ended meanwhile".to_owned(),
            other => other.to_string(),
        })
    })?;
    match serde_json::from_str(&answer).map_err(|e| no_answer(e.to_string()))? {
        Reply::Done(value) => Ok(value),
        Reply::Refused { error, help } => Err(ControlError::Refused { error, help }),
    }
}
