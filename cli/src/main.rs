//! The `kasmina` command: the only crate that prints.

#![deny(unsafe_code)]

#[macro_use]
mod terminal;
mod args;
mod before_libraries;
mod checkpoints;
mod child;
mod compare;
mod control;
mod eval;
mod export;
mod failure;
mod generate;
mod log;
mod network_args;
mod plugins;
mod predict;
mod progress;
mod ranks;
mod record;
mod schema;
mod signals;
mod simulate;
mod table;
mod train;
mod train_args;

use args::{Cli, Verb};
use clap::Parser;
use failure::Failure;
use std::process::ExitCode;

fn main() -> ExitCode {
    // Before any other set-up: the plugin code that a child process runs may fail in any way.
    if std::env::args_os().nth(1).is_some_and(|verb| verb == child::VERB) {
        return child::run();
    }
    let cli = Cli::parse();
    let result = perform(cli);
    let output_failure = terminal::finish().map(|error| {
        Failure::new(format!("standard output cannot be written: {error}"))
            .with_help("check the disk, or the program that reads the output; the command itself has run")
    });
    match (result, output_failure) {
        (Ok(code), None) => code,
        (Err(failure), _) | (Ok(_), Some(failure)) => {
            failure.print();
            ExitCode::FAILURE
        }
    }
}

fn perform(cli: Cli) -> Result<ExitCode, Failure> {
    failure::install_handler();
    let screen = log::install();
    match cli.verb {
        Verb::Train(args) => train::run(*args, &screen),
        Verb::Launch(args) => ranks::launch::run(&args),
        Verb::Compare(args) => compare::run(args, &screen).map(|()| ExitCode::SUCCESS),
        Verb::Checkpoints(args) => checkpoints::run(&args.verb),
        Verb::Control(args) => control::run(&args).map(|()| ExitCode::SUCCESS),
        Verb::Eval(args) => eval::run(&args).map(|()| ExitCode::SUCCESS),
        Verb::Predict(args) => predict::run(&args).map(|()| ExitCode::SUCCESS),
        Verb::Generate(args) => generate::run(&args).map(|()| ExitCode::SUCCESS),
        Verb::Export(args) => export::run(&args).map(|()| ExitCode::SUCCESS),
        Verb::Plugins(args) => plugins::run(&args),
        Verb::Simulate(args) => simulate::run(&args).map(|()| ExitCode::SUCCESS),
        Verb::Replay(args) => record::run_replay(&args),
        Verb::Explain(args) => record::run_explain(&args).map(|()| ExitCode::SUCCESS),
        Verb::Schema(args) => schema::run(&args).map(|()| ExitCode::SUCCESS),
    }
}
