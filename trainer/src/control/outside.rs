//! Everything of a live run that listens to the outside: the socket, the watcher of plugin files, the watchdog.

use super::queue::ControlQueue;
use super::socket::Listener;
use super::watch::Watcher;
use super::watchdog::Watchdog;
use crate::error::TrainError;
use kasmina::graft::Pulse;
use kasmina_registry::Registry;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::time::Duration;

/// The listeners of one run, opened and not yet served.
pub(crate) struct Outside {
    listener: Option<Listener>,
    watcher: Option<Watcher>,
    watchdog: Watchdog,
}

impl Outside {
    /// Opens the socket in a run directory, if there is one. A call into a plugin that takes longer than `limit` is
    /// reported.
    ///
    /// # Errors
    /// If the socket cannot be opened.
    pub(crate) fn open(
        run: Option<&Path>,
        watcher: Option<Watcher>,
        limit: Duration,
    ) -> Result<Self, TrainError> {
        let listener = run.map(Listener::open).transpose()?;
        Ok(Self { listener, watcher, watchdog: Watchdog::new(limit, run) })
    }

    /// Serves all of them on threads of their own while `body` runs on this one with the queue that they fill.
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
            if let Some(listener) = listener {
                let sender = sender.clone();
                scope.spawn(move || listener.serve(registry, &sender, (watchdog, over)));
            }
            if let Some(watcher) = watcher {
                scope.spawn(move || watcher.serve(registry, &sender, over));
            }
            scope.spawn(move || watchdog.serve(pulse, over));
            // However this thread leaves, the others must not wait for it.
            let _over = SetOnDrop(over);
            body(ControlQueue::new(messages))
        })
    }
}

/// Says that a run is over, when it goes.
struct SetOnDrop<'a>(&'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
