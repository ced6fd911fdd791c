//! Runs on two to four ranks, each a process, into which faults are injected: one rank is killed, stopped,
//! late or different. Every rank must end or go on in time, and the run must continue on another number of
//! ranks.
//!
//! `cargo xtask rank-faults --faults N --seed S` injects more of them than `cargo test` does. With `--gpus N`
//! each rank has a GPU.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a test program reports on its own")]

mod fault;
mod inject;

use fault::Fault;
use inject::Case;
use kasmina_tests::undisturbed::Random;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::Duration;

/// Number of faults in `cargo test`: one of each kind.
const DEFAULT_FAULTS: usize = Fault::ALL.len();

/// What has become of the faults of one kind.
#[derive(Debug, Default, Clone, Copy)]
struct Row {
    injected: u32,
    passed: u32,
    slowest: Duration,
}

impl Row {
    /// Adds a fault and the time until every rank had reacted; `None` if it was not survived.
    fn add(&mut self, took: Option<Duration>) {
        self.injected += 1;
        self.passed += u32::from(took.is_some());
        self.slowest = self.slowest.max(took.unwrap_or_default());
    }
}

/// Injects a fault and prints a line about it. Returns the time until every rank had reacted.
fn run(number: usize, case: &Case) -> Option<Duration> {
    // A failed assertion has printed what is wrong.
    let took = catch_unwind(AssertUnwindSafe(|| case.inject())).ok();
    let text = took.map_or_else(|| "FAILED".to_owned(), |took| format!("{:>6.1} s", took.as_secs_f64()));
    println!("{number:>4} {} {text}", case.line());
    took
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let Chosen { faults, seed, gpus } = match parse_arguments(&args) {
        Ok(Some(chosen)) => chosen,
        // The arguments of `cargo test` name another test.
        Ok(None) => return ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("rank_faults: {error}");
            return ExitCode::FAILURE;
        }
    };
    kasmina_tests::built();
    println!("{faults} faults, seed {seed}");
    let possible: Vec<Fault> =
        Fault::ALL.into_iter().filter(|fault| gpus.is_none() || *fault != Fault::NoDevice).collect();
    let mut random = Random::new(seed);
    let mut rows = vec![Row::default(); possible.len()];
    let mut slow = Vec::new();
    for number in 0..faults {
        let kind = number % rows.len();
        let fault = possible[kind];
        let case = Case::new(fault, &mut random, gpus);
        if fault.is_slow() {
            // Its ranks only wait, so the others go on beside it.
            slow.push((kind, std::thread::spawn(move || run(number, &case))));
        } else {
            rows[kind].add(run(number, &case));
        }
    }
    for (kind, thread) in slow {
        rows[kind].add(thread.join().unwrap_or(None));
    }
    println!("\n{:<46} {:>8} {:>6} {:>10}", "FAULT", "INJECTED", "PASSED", "SLOWEST");
    let row = |label: &str, row: Row| {
        let Row { injected, passed, slowest } = row;
        println!("{label:<46} {injected:>8} {passed:>6} {:>8.1} s", slowest.as_secs_f64());
    };
    for (fault, found) in possible.iter().zip(&rows).filter(|(_, found)| found.injected > 0) {
        row(fault.label(), *found);
    }
    let all = rows.iter().fold(Row::default(), |all, one| Row {
        injected: all.injected + one.injected,
        passed: all.passed + one.passed,
        slowest: all.slowest.max(one.slowest),
    });
    row("all", all);
    if all.passed == all.injected { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What the arguments choose.
struct Chosen {
    /// Number of faults.
    faults: usize,
    /// Seed of the random choice of ranks and moments.
    seed: u64,
    /// Number of GPUs, one for each rank; `None` on the CPU.
    gpus: Option<usize>,
}

/// Parses the arguments; `None` if they name other tests.
fn parse_arguments(args: &[String]) -> Result<Option<Chosen>, String> {
    let mut chosen = Chosen { faults: DEFAULT_FAULTS, seed: 1, gpus: None };
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let mut number = || -> Result<u64, String> {
            let text = args.next().ok_or(format!("{arg} needs a number"))?;
            text.parse().map_err(|e| format!("{arg} {text}: {e}"))
        };
        match arg.as_str() {
            "--faults" => chosen.faults = number()? as usize,
            "--seed" => chosen.seed = number()?,
            "--gpus" => match number()? {
                0 | 1 => return Err("--gpus needs at least 2, one for each rank".to_owned()),
                gpus => chosen.gpus = Some(gpus as usize),
            },
            option if option.starts_with('-') => {}
            name if "rank_faults".contains(name) => {}
            _ => return Ok(None),
        }
    }
    Ok(Some(chosen))
}
