//! Plugin files that are being worked on: each new build is offered to the run as a swap.

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

/// How long a file must be left alone before it is looked at: linkers write in many pieces.
const QUIET: Duration = Duration::from_millis(300);
/// How often the watcher looks whether the run is over.
const LOOK: Duration = Duration::from_millis(100);

/// Eyes on some files. They are on the folders: a file that is replaced by a rename is another file.
pub(crate) struct Watcher {
    files: BTreeSet<PathBuf>,
    changes: Receiver<DebounceEventResult>,
    _eyes: Debouncer<RecommendedWatcher, RecommendedCache>,
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
        let (tell, changes) = channel();
        let first = files.first().cloned().unwrap_or_default();
        let mut eyes = new_debouncer(QUIET, None, tell).map_err(|e| failed(&first, e.to_string()))?;
        let folders: BTreeSet<_> = files.iter().filter_map(|f| f.parent()).collect();
        for folder in folders {
            eyes.watch(folder, RecursiveMode::NonRecursive).map_err(|e| failed(folder, e.to_string()))?;
        }
        Ok(Self { files, changes, _eyes: eyes })
    }

    /// Brings new builds to the run until it is over.
    pub(crate) fn serve(&self, registry: &Registry, run: &Sender<ControlMessage>, over: &AtomicBool) {
        let mut seen: BTreeMap<PathBuf, String> = BTreeMap::new();
        for plugin in registry.plugins() {
            if let (Some(path), Some(sha256)) = (&plugin.path, &plugin.sha256) {
                seen.insert(path.clone(), sha256.clone());
            }
        }
        while !over.load(Ordering::Relaxed) {
            let events = match self.changes.recv_timeout(LOOK) {
                Ok(Ok(events)) => events,
                Ok(Err(errors)) => {
                    for error in errors {
                        tracing::warn!("watching plugins: {error}");
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
                // A file that was only touched is the build that it was.
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
