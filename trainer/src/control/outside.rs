//! Everything of a live run that listens to the outside: the socket, the watcher of plugin files, the
//! watchdog.

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

/// The listeners of one run, opened and not yet served.
pub(crate) struct Outside {
    listener: Option<Listener>,
    watcher: Option<Watcher>,
    watchdog: Watchdog,
}

impl Outside {
    /// Opens the socket in a run directory, if there is one. A call into a plugin that takes longer than
    /// `limit` is reported. A run without a socket trains as well as another, so one that cannot be opened is
    /// a warning.
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

    /// Serves all of them on threads of their own while `body` runs on this one with the queue that they
    /// fill.
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
            // However this thread leaves, the others must not wait for it.
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

/// Starts a thread. If the system cannot start it, the run warns and goes on without it.
fn start<'scope>(scope: &'scope Scope<'scope, '_>, name: &str, body: impl FnOnce() + Send + 'scope) {
    if let Err(error) = std::thread::Builder::new().name(name.to_owned()).spawn_scoped(scope, body) {
        tracing::warn!("the run goes on without its thread `{name}`: {error}");
    }
}

/// Says that a run is over, when it goes.
struct SetOnDrop<'a>(&'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
