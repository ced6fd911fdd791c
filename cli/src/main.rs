//! The `kasmina` command.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "this is the one room that talks to people")]

mod args;
mod failure;
mod log;
mod plugins;
mod progress;
mod table;
mod train;

use args::{Cli, Verb};
use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = Cli::parse();
    failure::install_handler();
    let screen = log::install();
    let result = match cli.verb {
        Verb::Train(args) => train::run(*args, &screen),
        Verb::Plugins(args) => plugins::run(&args).map(|()| ExitCode::SUCCESS),
    };
    result.unwrap_or_else(|failure| {
        eprintln!("{:?}", miette::Report::new(failure));
        ExitCode::FAILURE
    })
}
