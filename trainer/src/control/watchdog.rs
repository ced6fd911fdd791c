//! The watchdog: reports calls into plugins that do not return. Such a call cannot be ended in this process,
//! but its plugin is named to the user and to waiting clients.

use kasmina::graft::{Beat, Pulse};
use kasmina_files::open_own;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Name of the watchdog's report in a run directory.
pub const STUCK: &str = "stuck.jsonl";
/// Time between two reads of the model's pulse.
const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// Reads a model's pulse from another thread.
pub(crate) struct Watchdog {
    /// Time after which a call is reported.
    limit: Duration,
    /// Path of the report, if the run has a directory.
    report: Option<PathBuf>,
    /// The newest beat, and when it was first read.
    seen: Mutex<Option<(Beat, Instant)>>,
}

impl Watchdog {
    pub(crate) fn new(limit: Duration, run: Option<&Path>) -> Self {
        Self { limit, report: run.map(|run| run.join(STUCK)), seen: Mutex::new(None) }
    }

    /// Watches until the run is over. Each call that exceeds the limit is reported once.
    pub(crate) fn serve(&self, pulse: &Pulse, over: &AtomicBool) {
        let mut reported = None;
        while !over.load(Ordering::Relaxed) {
            std::thread::sleep(POLL_INTERVAL);
            let beat = pulse.beat();
            let since = {
                let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
                match &*seen {
                    Some((before, since)) if before.stands_still(&beat) => since.elapsed(),
                    _ => {
                        *seen = Some((beat, Instant::now()));
                        reported = None;
                        continue;
                    }
                }
            };
            if since >= self.limit && reported.is_none() {
                let call = beat.call.unwrap_or_default();
                tracing::error!(
                    "{call} has not returned for {:.0} s; it cannot be ended in this process: end the run, \
                     and tell the plugin's author",
                    since.as_secs_f64()
                );
                self.write(&call, since);
                reported = Some(());
            }
        }
    }

    /// Returns the call that has not returned yet, and for how long it has not.
    pub(crate) fn stuck(&self) -> Option<(String, Duration)> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let (beat, since) = seen.as_ref()?;
        Some((beat.call.clone()?, since.elapsed()))
    }

    fn write(&self, call: &str, since: Duration) {
        let Some(path) = &self.report else { return };
        let line = serde_json::json!({ "call": call, "seconds": since.as_secs_f64() });
        let file = open_own(path, true);
        let _ = file.and_then(|mut file| writeln!(file, "{line}"));
    }
}
