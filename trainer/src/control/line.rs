//! Reading a line from a socket, limited in length and time.

use std::io::{ErrorKind, Read as _};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Maximum length of a line, in bytes.
const MAX_LINE_BYTES: usize = 1 << 20;
/// Time between two checks of the deadline and of the stop flag.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// Why no line was read.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    /// The deadline has passed.
    #[error("no line was received in time")]
    Timeout,
    /// The stop flag was set.
    #[error("reading was stopped")]
    Stopped,
    /// The other side has closed the connection.
    #[error("the other side has closed the connection")]
    Closed,
    /// The line is too long.
    #[error("the line is longer than {MAX_LINE_BYTES} bytes")]
    TooLong,
    /// Error of the system.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// Reads one line. The deadline is for the whole line, so that a client cannot extend it by sending single
/// bytes.
pub(super) struct LineReader<'s> {
    stream: &'s UnixStream,
    timeout: Duration,
    stop: Option<&'s AtomicBool>,
    /// Whether empty lines are skipped, each of which restarts the timeout.
    keep_alives: bool,
}

impl<'s> LineReader<'s> {
    pub(super) fn new(stream: &'s UnixStream) -> Self {
        Self { stream, timeout: Duration::MAX, stop: None, keep_alives: false }
    }

    /// Sets the time within which the whole line must be received.
    pub(super) fn with_timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// Sets a flag that stops reading.
    pub(super) fn until(self, stop: &'s AtomicBool) -> Self {
        Self { stop: Some(stop), ..self }
    }

    /// Skips empty lines; each of them restarts the timeout.
    pub(super) fn skip_keep_alives(self) -> Self {
        Self { keep_alives: true, ..self }
    }

    /// Returns the line without its end.
    pub(super) fn read(self) -> Result<String, ReadError> {
        let mut begun = Instant::now();
        let (mut line, mut part) = (Vec::new(), [0; 4096]);
        self.stream.set_read_timeout(Some(POLL_INTERVAL))?;
        loop {
            if self.stop.is_some_and(|stop| stop.load(Ordering::Relaxed)) {
                return Err(ReadError::Stopped);
            }
            if begun.elapsed() >= self.timeout {
                return Err(ReadError::Timeout);
            }
            match (&mut &*self.stream).read(&mut part) {
                Ok(0) => return Err(ReadError::Closed),
                Ok(n) => line.extend_from_slice(&part[..n]),
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => continue,
                Err(error) => return Err(error.into()),
            }
            while self.keep_alives && line.first() == Some(&b'\n') {
                line.remove(0);
                begun = Instant::now();
            }
            if let Some(end) = line.iter().position(|byte| *byte == b'\n') {
                line.truncate(end);
                return Ok(String::from_utf8_lossy(&line).into_owned());
            }
            if line.len() > MAX_LINE_BYTES {
                return Err(ReadError::TooLong);
            }
        }
    }
}
