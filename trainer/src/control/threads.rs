//! The threads of a live run besides the training thread: the listener at its socket, the watcher of plugin
//! files and the watchdog.

use super::message::SOCKET;
use super::queue::ControlQueue;
use super::socket::Listener;
use super::watch::Watcher;
use super::watchdog::Watchdog;
use kasmina::graft::Pulse;
use kasmina_registry::Registry;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::thread::Scope;
use std::time::Duration;

/// The parts of one run's control that need threads. They are opened first and served later.
pub(crate) struct ControlThreads {
    listener: Option<Listener>,
    watcher: Option<Watcher>,
    watchdog: Watchdog,
}

impl ControlThreads {
    /// Opens the socket in the run directory, if there is one. A socket that cannot be opened is only a
    /// warning, because the run can train without it. A call into a plugin that takes longer than `limit`
    /// will be reported.
    pub(crate) fn open(run: Option<&Path>, watcher: Option<Watcher>, limit: Duration) -> Self {
        let listener = run.and_then(|run| {
            Listener::open(run)
                .inspect_err(|error| {
                    let path = run.join(SOCKET);
                    tracing::warn!(
                        "the run cannot be controlled while it trains: {}: {error}",
                        path.display()
                    );
                })
                .ok()
        });
        Self { listener, watcher, watchdog: Watchdog::new(limit, run) }
    }

    /// Runs `body` on this thread with the queue that the other threads fill, and stops them when it returns.
    pub(crate) fn serve<T>(
        &mut self,
        registry: &Registry,
        pulse: &Pulse,
        body: impl FnOnce(ControlQueue) -> T,
    ) -> T {
        let over = AtomicBool::new(false);
        let over = &over;
        let Self { listener, watcher, watchdog } = self;
        let (watchdog, watcher) = (&*watchdog, watcher.take());
        std::thread::scope(|scope| {
            let (sender, messages) = channel();
            // The other threads must also stop if `body` panics.
            let _over = SetOnDrop(over);
            if let Some(listener) = listener {
                let sender = sender.clone();
                start(scope, "control", move || listener.serve(registry, &sender, (watchdog, over)));
            }
            if let Some(watcher) = watcher {
                start(scope, "watcher", move || watcher.serve(registry, &sender, over));
            }
            start(scope, "watchdog", move || watchdog.serve(pulse, over));
            body(ControlQueue::new(messages))
        })
    }
}

/// Starts a thread. If the system cannot start it, the run logs a warning and continues without it.
fn start<'scope>(scope: &'scope Scope<'scope, '_>, name: &str, body: impl FnOnce() + Send + 'scope) {
    if let Err(error) = std::thread::Builder::new().name(name.to_owned()).spawn_scoped(scope, body) {
        tracing::warn!("the run continues without its thread `{name}`: {error}");
    }
}

/// Sets a flag when it is dropped.
struct SetOnDrop<'a>(&'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
