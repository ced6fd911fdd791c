//! Progress on stderr: a bar on a terminal, otherwise a line every few seconds.

use std::io::{self, IsTerminal as _};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// Time between two lines where stderr is no terminal.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// Shows the progress of one piece of work, measured in bytes.
pub(super) struct Meter {
    what: String,
    total: u64,
    bar: Option<ProgressBar>,
    logged: Instant,
}

impl Meter {
    pub(super) fn new(what: String, total: u64) -> Self {
        let bar = io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(total).with_message(what.clone());
            let template = "{msg:<44} {bar:24} {decimal_bytes:>10} of {decimal_total_bytes} {eta:>4}";
            match ProgressStyle::with_template(template) {
                Ok(style) => bar.with_style(style.progress_chars("=> ")),
                Err(_) => bar,
            }
        });
        if bar.is_none() {
            eprintln!("{what}: {} MB", megabytes(total));
        }
        Self { what, total, bar, logged: Instant::now() }
    }

    /// Shows that `bytes` of the total are done.
    pub(super) fn at(&mut self, bytes: u64) {
        let bytes = bytes.min(self.total);
        if let Some(bar) = &self.bar {
            bar.set_position(bytes);
        } else if self.logged.elapsed() >= LOG_INTERVAL {
            self.logged = Instant::now();
            eprintln!("{}: {} of {} MB", self.what, megabytes(bytes), megabytes(self.total));
        }
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn megabytes(bytes: u64) -> u64 {
    bytes.div_ceil(1_000_000)
}
