//! The `kasmina` command: the one room that talks to people.

#[macro_use]
mod terminal;
mod args;
mod checkpoints;
mod child;
mod compare;
mod control;
mod failure;
mod log;
mod plugins;
mod progress;
mod record;
mod schema;
mod signals;
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
        Verb::Checkpoints(args) => checkpoints::run(&args.verb),
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
