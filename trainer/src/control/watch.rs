//! Watching plugin files (`--watch`): each new build is sent to the run as a swap.

use super::message::ControlMessage;
use crate::error::TrainError;
use kasmina_registry::{Manifest, Registry};
use notify_debouncer_full::notify::{RecommendedWatcher, RecursiveMode};
use notify_debouncer_full::{DebounceEventResult, Debouncer, RecommendedCache, new_debouncer};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

/// Time without changes after which a file is read, because linkers write it in many pieces.
const DEBOUNCE: Duration = Duration::from_millis(300);
/// Time between two checks whether the run is over.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// Watcher of some files. It watches their folders, because a file that is replaced by a rename is another
/// file.
pub(crate) struct Watcher {
    files: BTreeSet<PathBuf>,
    changes: Receiver<DebounceEventResult>,
    /// Watches the folders until it is dropped.
    _debouncer: Debouncer<RecommendedWatcher, RecommendedCache>,
}

impl Watcher {
    /// Starts watching files.
    pub(crate) fn on(files: impl IntoIterator<Item = PathBuf>) -> Result<Self, TrainError> {
        let files: BTreeSet<PathBuf> = files
            .into_iter()
            .map(|f| f.canonicalize().unwrap_or_else(|_| std::path::absolute(&f).unwrap_or(f)))
            .collect();
        let failed =
            |path: &std::path::Path, reason: String| TrainError::Watch { path: path.to_owned(), reason };
        let (sender, changes) = channel();
        let first = files.first().cloned().unwrap_or_default();
        let mut debouncer =
            new_debouncer(DEBOUNCE, None, sender).map_err(|e| failed(&first, e.to_string()))?;
        let folders: BTreeSet<_> = files.iter().filter_map(|f| f.parent()).collect();
        for folder in folders {
            debouncer
                .watch(folder, RecursiveMode::NonRecursive)
                .map_err(|e| failed(folder, e.to_string()))?;
        }
        Ok(Self { files, changes, _debouncer: debouncer })
    }

    /// Sends new builds to the run until it is over.
    pub(crate) fn serve(&self, registry: &Registry, run: &Sender<ControlMessage>, over: &AtomicBool) {
        let mut seen: BTreeMap<PathBuf, String> = BTreeMap::new();
        for plugin in registry.plugins() {
            if let (Some(path), Some(sha256)) = (&plugin.path, &plugin.sha256) {
                seen.insert(path.clone(), sha256.clone());
            }
        }
        while !over.load(Ordering::Relaxed) {
            let events = match self.changes.recv_timeout(POLL_INTERVAL) {
                Ok(Ok(events)) => events,
                Ok(Err(errors)) => {
                    for error in errors {
                        tracing::warn!("watching plugin files failed: {error}");
                    }
                    continue;
                }
                Err(RecvTimeoutError::Timeout) => continue,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            let changed: BTreeSet<&PathBuf> = events
                .iter()
                .flat_map(|event| &event.paths)
                .filter_map(|path| self.files.get(path))
                .filter(|path| path.exists())
                .collect();
            for path in changed {
                // A file that was only touched is no new build.
                let hash = Manifest::read(path).map(|m| m.sha256).unwrap_or_default();
                if !hash.is_empty() && seen.get(path) == Some(&hash) {
                    continue;
                }
                seen.insert(path.clone(), hash);
                let staged = Box::new(registry.stage(path));
                if run.send(ControlMessage::Build(path.clone(), staged, None)).is_err() {
                    return;
                }
            }
        }
    }
}
