//! A line from a socket, with limits.

use std::io::{ErrorKind, Read as _};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// The longest line, in bytes.
const LONGEST: usize = 1 << 20;
/// How often the reader looks whether it is to go on.
const LOOK: Duration = Duration::from_millis(100);

/// Why there is no line.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    /// The deadline of the request has passed.
    #[error("nothing came in time")]
    TooLate,
    /// The reader was told to stop.
    #[error("it is over")]
    Over,
    /// The other side has closed.
    #[error("the other side has closed")]
    Closed,
    /// The line is too long.
    #[error("the line is longer than {LONGEST} bytes")]
    TooLong,
    /// Error of the system.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// Reads one line, all of it before a deadline: a client that sends a byte now and then gains no time by it.
pub(super) struct Line<'s> {
    stream: &'s UnixStream,
    time: Duration,
    over: Option<&'s AtomicBool>,
    /// Whether an empty line starts the time again.
    signs: bool,
}

impl<'s> Line<'s> {
    pub(super) fn new(stream: &'s UnixStream) -> Self {
        Self { stream, time: Duration::MAX, over: None, signs: false }
    }

    /// All of it must come within this time.
    pub(super) fn within(self, time: Duration) -> Self {
        Self { time, ..self }
    }

    /// Gives up when this is set.
    pub(super) fn until(self, over: &'s AtomicBool) -> Self {
        Self { over: Some(over), ..self }
    }

    /// Passes over empty lines; each of them starts the time again.
    pub(super) fn after_signs_of_life(self) -> Self {
        Self { signs: true, ..self }
    }

    /// The line without its end.
    pub(super) fn read(self) -> Result<String, ReadError> {
        let mut begun = Instant::now();
        let (mut line, mut part) = (Vec::new(), [0; 4096]);
        self.stream.set_read_timeout(Some(LOOK))?;
        loop {
            if self.over.is_some_and(|over| over.load(Ordering::Relaxed)) {
                return Err(ReadError::Over);
            }
            if begun.elapsed() >= self.time {
                return Err(ReadError::TooLate);
            }
            match (&mut &*self.stream).read(&mut part) {
                Ok(0) => return Err(ReadError::Closed),
                Ok(n) => line.extend_from_slice(&part[..n]),
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => continue,
                Err(error) => return Err(error.into()),
            }
            while self.signs && line.first() == Some(&b'\n') {
                line.remove(0);
                begun = Instant::now();
            }
            if let Some(end) = line.iter().position(|byte| *byte == b'\n') {
                line.truncate(end);
                return Ok(String::from_utf8_lossy(&line).into_owned());
            }
            if line.len() > LONGEST {
                return Err(ReadError::TooLong);
            }
        }
    }
}
