//! The log, on stderr, around the progress bar. `KASMINA_LOG` filters it (`warn` by default).

use crate::terminal;
use indicatif::MultiProgress;
use std::io::Write;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

/// Installs the subscriber and answers with the screen that bars are drawn on.
pub(crate) fn install() -> MultiProgress {
    let screen = MultiProgress::new();
    let filter = EnvFilter::try_from_env("KASMINA_LOG").unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(terminal::colours_errors())
        .without_time()
        .with_writer(AroundBars(screen.clone()))
        .init();
    screen
}

/// Clears the bars for a line and draws them again.
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
        // Nobody left to read the log is no reason to fail, here or in the subscriber.
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
