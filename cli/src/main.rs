//! The `kasmina` command: the one room that talks to people.

/// A line on standard output. Whoever closed it does not want to hear more; that is no reason to fail.
macro_rules! outln {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stdout(), $($text)*);
    }};
}

/// A line on standard error, likewise.
macro_rules! errln {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stderr(), $($text)*);
    }};
}

/// Some lines on standard output, as they are.
fn out(text: &str) {
    use std::io::Write as _;
    let _ = std::io::stdout().write_all(text.as_bytes());
}

mod args;
mod child;
mod compare;
mod control;
mod failure;
mod log;
mod plugins;
mod progress;
mod record;
mod schema;
mod simulate;
mod table;
mod train;

use args::{Cli, Verb};
use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    // Before anything is set up: what it tries may break anything.
    if std::env::args_os().nth(1).is_some_and(|verb| verb == child::VERB) {
        return child::run();
    }
    let cli = Cli::parse();
    failure::install_handler();
    let screen = log::install();
    let result = match cli.verb {
        Verb::Train(args) => train::run(*args, &screen),
        Verb::Compare(args) => compare::run(args, &screen).map(|()| ExitCode::SUCCESS),
        Verb::Control(args) => control::run(&args).map(|()| ExitCode::SUCCESS),
        Verb::Plugins(args) => plugins::run(&args),
        Verb::Simulate(args) => simulate::run(&args).map(|()| ExitCode::SUCCESS),
        Verb::Replay(args) => record::run_replay(&args),
        Verb::Explain(args) => record::run_explain(&args).map(|()| ExitCode::SUCCESS),
        Verb::Schema(args) => schema::run(&args).map(|()| ExitCode::SUCCESS),
    };
    result.unwrap_or_else(|failure| {
        errln!("{:?}", miette::Report::new(failure));
        ExitCode::FAILURE
    })
}
