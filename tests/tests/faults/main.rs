//! Runs into which faults are injected: kills while they write, signals, a full disk, damaged or missing
//! files. After each fault the run is resumed and must end with the bits of the undisturbed run.
//!
//! `cargo xtask faults --minutes N --seed S` injects faults for longer than `cargo test` does.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a test program reports on its own")]

mod fault;
mod small;
mod victim;

use fault::Fault;
use kasmina_tests::undisturbed::{Random, Undisturbed};
use small::Small;
use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use victim::Outcome;

/// Names of the cases: short ones that cover every stage, dropout, and a stochastic seed.
const CASES: [&str; 4] =
    ["digits_shadowing_cooldown", "digits_scripted", "chars_dropout", "digits_stochastic"];
/// Minutes for which `cargo test` injects faults.
const DEFAULT_MINUTES: f64 = 0.2;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (minutes, seed) = match parse_arguments(&args) {
        Ok(Some(chosen)) => chosen,
        // The arguments of `cargo test` name another test.
        Ok(None) => return ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("faults: {error}");
            return ExitCode::FAILURE;
        }
    };
    kasmina_tests::built();
    let small = Small::allowed();
    println!("{minutes} minutes, seed {seed}; a full disk is {}", small.label());
    let cases: Vec<Undisturbed> = CASES.iter().map(|name| Undisturbed::train(name)).collect();
    let mut random = Random::new(seed);
    let mut table: BTreeMap<String, [u32; 3]> = BTreeMap::new();
    let end = Instant::now() + Duration::from_secs_f64(60.0 * minutes);
    let mut number = 0;
    while number < Fault::ALL.len() || Instant::now() < end {
        let fault = Fault::ALL[number % Fault::ALL.len()];
        let case = &cases[random.below(cases.len() as u64) as usize];
        let outcome = victim::inject(case, fault, small, number, &mut random);
        let [injected, survived, lost] = table.entry(fault.label().to_owned()).or_default();
        match outcome {
            Outcome::Missed => {}
            Outcome::Survived => {
                *injected += 1;
                *survived += 1;
            }
            Outcome::Lost(why) => {
                *injected += 1;
                *lost += 1;
                println!("LOST {} to {}: {why}", case.name, fault.label());
            }
        }
        number += 1;
    }
    println!("\n{:<52} {:>8} {:>8} {:>5}", "FAULT", "INJECTED", "SURVIVED", "LOST");
    let mut all = [0; 3];
    for (fault, row) in &table {
        println!("{fault:<52} {:>8} {:>8} {:>5}", row[0], row[1], row[2]);
        all = std::array::from_fn(|i| all[i] + row[i]);
    }
    println!("{:<52} {:>8} {:>8} {:>5}", "all", all[0], all[1], all[2]);
    if all[2] == 0 && all[0] > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Parses the minutes and the random seed; `None` if the arguments name other tests.
fn parse_arguments(args: &[String]) -> Result<Option<(f64, u64)>, String> {
    let (mut minutes, mut seed) = (DEFAULT_MINUTES, 1);
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let value = |args: &mut std::slice::Iter<'_, String>| {
            args.next().cloned().ok_or(format!("{arg} needs a number"))
        };
        match arg.as_str() {
            "--minutes" => minutes = value(&mut args)?.parse().map_err(|e| format!("--minutes: {e}"))?,
            "--seed" => seed = value(&mut args)?.parse().map_err(|e| format!("--seed: {e}"))?,
            option if option.starts_with('-') => {}
            name if "faults".contains(name) => {}
            _ => return Ok(None),
        }
    }
    Ok(Some((minutes, seed)))
}
