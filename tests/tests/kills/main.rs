//! Kills runs at random moments, resumes them, and compares them with an undisturbed run, bit for bit.
//!
//! Each run is a `kasmina train` in a process of its own, which gets SIGKILL when it has written a checkpoint
//! of the chosen moment and is continued by `kasmina train --resume`. The final `model.safetensors` and
//! `optimizer.safetensors` are compared, and the journals without times. `cargo xtask kills` runs more of
//! them than `cargo test`.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a test program reports on its own")]

mod case;
mod moment;
mod table;

use case::Case;
use kasmina_tests::undisturbed::{NAMES, Random};
use std::process::ExitCode;
use table::Table;

/// Number of kills in `cargo test`.
const DEFAULT_KILLS: u32 = 16;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (kills, seed) = match parse_arguments(&args) {
        Ok(Some(chosen)) => chosen,
        // The arguments of `cargo test` name another test.
        Ok(None) => return ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("kills: {error}");
            return ExitCode::FAILURE;
        }
    };
    kasmina_tests::built();
    println!("{kills} kills, seed {seed}");
    let mut random = Random::new(seed);
    let cases: Vec<Case> = NAMES.iter().map(|name| Case::train(name)).collect();
    let mut table = Table::default();
    for number in 0..kills {
        // Cases take turns; within a case, the kind of moment with the fewest kills is chosen.
        let case = &cases[number as usize % cases.len()];
        let moment = table.rarest(&case.moments, &mut random);
        let killed = case.kill(&moment, number, &mut random);
        println!("{number:>4} {:<28} {}", case.undisturbed.name, killed.line());
        table.add(&killed);
    }
    println!("\n{table}");
    if table.all_exact() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Parses the number of kills and the random seed; `None` if the arguments name other tests.
fn parse_arguments(args: &[String]) -> Result<Option<(u32, u64)>, String> {
    let (mut kills, mut seed) = (DEFAULT_KILLS, 1);
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let mut number = |what: &str| {
            let text = args.next().ok_or_else(|| format!("{what} needs a number"))?;
            text.parse::<u64>().map_err(|e| format!("{what} {text}: {e}"))
        };
        match arg.as_str() {
            "--kills" => kills = u32::try_from(number("--kills")?).map_err(|e| e.to_string())?,
            "--seed" => seed = number("--seed")?,
            option if option.starts_with('-') => {}
            name if "kills".contains(name) => {}
            _ => return Ok(None),
        }
    }
    Ok(Some((kills, seed)))
}
