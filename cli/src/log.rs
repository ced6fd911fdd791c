//! The log on standard error, which does not disturb the progress bar. `KASMINA_LOG` filters it (default:
//! `warn`).

use crate::terminal;
use indicatif::MultiProgress;
use std::io::Write;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

/// Installs the subscriber and returns the screen for progress bars.
pub(crate) fn install() -> MultiProgress {
    let screen = MultiProgress::new();
    let filter = EnvFilter::try_from_env("KASMINA_LOG").unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(terminal::stderr_has_colours())
        .without_time()
        .with_writer(AroundBars(screen.clone()))
        .init();
    screen
}

/// A writer that clears the progress bars, writes a line, and draws the bars again.
#[derive(Clone)]
struct AroundBars(MultiProgress);

impl<'a> MakeWriter<'a> for AroundBars {
    type Writer = Self;
    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Write for AroundBars {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        // A closed standard error must not fail the run.
        self.0.suspend(|| {
            let _ = std::io::stderr().write_all(line);
        });
        Ok(line.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        let _ = std::io::stderr().flush();
        Ok(())
    }
}
