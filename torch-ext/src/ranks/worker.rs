//! A thread that runs calls which may never return, so that callers wait no longer than a limit.

use crate::error::{Error, Result};
use std::fmt::{self, Debug};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

/// Time that a call may take beyond its own limit, which libtorch is to keep by itself.
const MARGIN: Duration = Duration::from_millis(500);

type Job<T> = Box<dyn FnOnce(&T) + Send>;

/// A value on a thread of its own, and the calls for it. The thread ends when the worker is dropped, unless a
/// call never returns.
pub(super) struct Worker<T> {
    jobs: Sender<Job<T>>,
    /// Whether a call has not returned in time. Later ones would wait behind it.
    stuck: AtomicBool,
}

impl<T: Send + 'static> Worker<T> {
    /// Starts the thread with the value that `open` returns, and waits for it no longer than `time`.
    pub(super) fn start<R: Send + 'static>(
        open: impl FnOnce() -> Result<(T, R)> + Send + 'static,
        time: Duration,
    ) -> Result<(Self, R)> {
        let (opened, waiting) = channel();
        let (jobs, todo) = channel::<Job<T>>();
        std::thread::Builder::new()
            .name("kasmina-store".to_owned())
            .spawn(move || match open() {
                Ok((value, extra)) => {
                    if opened.send(Ok(extra)).is_ok() {
                        for job in todo {
                            job(&value);
                        }
                    }
                }
                Err(error) => drop(opened.send(Err(error))),
            })
            .map_err(|error| Error::Torch(format!("a thread cannot be started: {error}")))?;
        let extra = waiting.recv_timeout(time.saturating_add(MARGIN)).map_err(|_| late(time))??;
        Ok((Self { jobs, stuck: AtomicBool::new(false) }, extra))
    }

    /// Runs a function on the thread, and waits for it no longer than `time`.
    pub(super) fn call<R: Send + 'static>(
        &self,
        time: Duration,
        run: impl FnOnce(&T) -> Result<R> + Send + 'static,
    ) -> Result<R> {
        if self.stuck.load(Ordering::Relaxed) {
            return Err(late(time));
        }
        let (done, waiting) = channel();
        // If the thread has ended, `waiting` says so.
        let _ = self.jobs.send(Box::new(move |value| drop(done.send(run(value)))));
        waiting.recv_timeout(time.saturating_add(MARGIN)).unwrap_or_else(|_| {
            self.stuck.store(true, Ordering::Relaxed);
            Err(late(time))
        })
    }
}

impl<T> Debug for Worker<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").field("stuck", &self.stuck).finish_non_exhaustive()
    }
}

fn late(time: Duration) -> Error {
    Error::Torch(format!("there is no answer within {:.0} s", time.as_secs_f64()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_that_does_not_return_is_an_error_in_time_and_so_are_later_ones() {
        let (worker, ()) = Worker::start(|| Ok((7, ())), Duration::from_secs(5)).unwrap();
        assert_eq!(worker.call(Duration::from_secs(5), |seven| Ok(seven + 1)).unwrap(), 8);
        let short = Duration::from_millis(50);
        let error = worker.call(short, |_| {
            std::thread::sleep(Duration::from_secs(3));
            Ok(())
        });
        assert!(error.is_err());
        let started = std::time::Instant::now();
        assert!(worker.call(Duration::from_secs(5), |_| Ok(())).is_err());
        assert!(started.elapsed() < Duration::from_secs(1));
    }
}
