//! Runs that are killed at a random moment, resumed, and compared with an undisturbed run, bit for bit.
//!
//! Each kill is a `kasmina train` in a process of its own that gets SIGKILL when it has written a checkpoint
//! of the moment that was drawn, and then `kasmina train --resume`. What is compared: the final
//! `model.safetensors` and `optimizer.safetensors`, and the journals without seconds. `cargo xtask kills`
//! runs more of them than `cargo test`.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a test program reports on its own")]

mod case;
mod moment;
mod table;

use case::Case;
use kasmina_tests::undisturbed::{NAMES, Random};
use std::process::ExitCode;
use table::Table;

/// Kills of a run of `cargo test`.
const FEW: u32 = 16;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (kills, seed) = match chosen(&args) {
        Ok(Some(chosen)) => chosen,
        // Another test was asked for by name.
        Ok(None) => return ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("kills: {error}");
            return ExitCode::FAILURE;
        }
    };
    kasmina_tests::built();
    println!("{kills} kills, seed {seed}");
    let mut random = Random::new(seed);
    let cases: Vec<Case> = NAMES.iter().map(|name| Case::reference(name)).collect();
    let mut table = Table::default();
    for number in 0..kills {
        // Every case has its turn, and within it the moment that was hit least.
        let case = &cases[number as usize % cases.len()];
        let moment = table.rarest(&case.moments, &mut random);
        let killed = case.kill(&moment, number, &mut random);
        println!("{number:>4} {:<28} {}", case.whole.name, killed.told());
        table.add(&killed);
    }
    println!("\n{table}");
    if table.all_exact() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// How many kills, and the seed of their moments; none where the arguments choose other tests.
fn chosen(args: &[String]) -> Result<Option<(u32, u64)>, String> {
    let (mut kills, mut seed) = (FEW, 1);
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
