//! The client of the control socket: sends a request to a live run in another process.

use super::line::{LineReader, ReadError};
use super::socket::KEEP_ALIVE_INTERVAL;
use super::{Reply, Request, SOCKET};
use serde_json::Value;
use std::fs::File;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Time without a keep-alive or a reply after which the client gives up.
const TIMEOUT: Duration = KEEP_ALIVE_INTERVAL.saturating_mul(6);

/// Why a request has failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ControlError {
    /// No live run listens in the directory.
    #[error("no run is live in {}: {reason}", path.display())]
    NotLive {
        /// Run directory that was named.
        path: PathBuf,
        /// Message of the system.
        reason: String,
    },
    /// The run ended before it replied, or its reply cannot be read.
    #[error("no reply from the run in {}: {reason}", path.display())]
    NoAnswer {
        /// Run directory that was named.
        path: PathBuf,
        /// What went wrong.
        reason: String,
    },
    /// The run has refused the request.
    #[error("{error}")]
    Refused {
        /// Error of the run.
        error: String,
        /// Remedy, if the run names one.
        help: Option<String>,
    },
}

/// Sends a request to the run in a directory and waits for its reply.
///
/// # Errors
/// If no run is live there, it does not reply, or it refuses the request.
pub fn ask(run: &Path, request: &Request) -> Result<Value, ControlError> {
    let not_live = |e: std::io::Error| ControlError::NotLive { path: run.to_owned(), reason: e.to_string() };
    let folder = File::open(run).map_err(not_live)?;
    // The path of a socket is limited to about 100 bytes; a path through the folder's handle is always short.
    let short_path = format!("/proc/self/fd/{}/{SOCKET}", folder.as_raw_fd());
    let mut stream = UnixStream::connect(short_path).map_err(not_live)?;
    // A socket of another user must not receive the request, nor may its reply be taken for the run's.
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
    stream.set_write_timeout(Some(TIMEOUT)).map_err(|e| no_answer(e.to_string()))?;
    writeln!(stream, "{line}").map_err(|e| no_answer(e.to_string()))?;
    let answer =
        LineReader::new(&stream).with_timeout(TIMEOUT).skip_keep_alives().read().map_err(|error| {
            no_answer(match error {
                ReadError::Timeout => format!("it has sent nothing for {} s", TIMEOUT.as_secs()),
                ReadError::Closed => "it has ended".to_owned(),
                other => other.to_string(),
            })
        })?;
    match serde_json::from_str(&answer).map_err(|e| no_answer(e.to_string()))? {
        Reply::Done(value) => Ok(value),
        Reply::Refused { error, help } => Err(ControlError::Refused { error, help }),
    }
}
