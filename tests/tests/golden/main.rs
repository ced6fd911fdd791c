//! Golden runs: short training runs whose results must not change by a single bit, unless a change intends
//! it.
//!
//! Each case is a run of the trainer (`cases/*.toml`) or a model driven step by step (`live.rs`). Its
//! transcript contains losses, accuracies, events, and hashes of metrics, events, commands and final weights,
//! and is compared with `expected/NAME.txt`. `cargo xtask golden --update` records the transcripts again.
//!
//! Each case runs in a child process, with the instruction sets of torch, MKL and oneDNN limited to what
//! every x86-64 CPU has, so that another CPU gives the same bits. Where bits differ all the same and the CPU
//! is not the one that recorded, the comparison uses the tolerance that `compare` states.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a test program reports on its own")]

mod compare;
mod live;
mod trained;
mod transcript;

use compare::Verdict;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::sync::Mutex;
use std::time::Instant;

/// Limits the kernels of torch, MKL and oneDNN to the instructions that every x86-64 CPU has.
const PORTABLE: [(&str, &str); 4] = [
    ("ATEN_CPU_CAPABILITY", "default"),
    ("MKL_CBWR", "COMPATIBLE"),
    ("ONEDNN_MAX_CPU_ISA", "SSE41"),
    ("OMP_NUM_THREADS", "1"),
];

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let [verb, name] = args.as_slice()
        && verb == "--case"
    {
        print!("{}", run(name));
        return ExitCode::SUCCESS;
    }
    let (update, names) = match parse_arguments(&args) {
        Ok(chosen) => chosen,
        Err(error) => {
            eprintln!("golden: {error}");
            return ExitCode::FAILURE;
        }
    };
    // Built here, so that the children do not build at the same time.
    kasmina_tests::built();
    let results = in_children(&names);
    let mut failed = 0;
    for (name, result, seconds) in results {
        let verdict = match result {
            Err(error) => Verdict::Differs(error),
            Ok(found) if update => {
                record(&name, &found);
                Verdict::Recorded
            }
            Ok(found) => compare::compare(&name, &found),
        };
        failed += usize::from(verdict.is_failure());
        println!("golden {name:<28} {seconds:>5.1} s  {verdict}");
    }
    let orphans = orphans();
    for orphan in &orphans {
        println!("golden {orphan}: no case of this name is left");
    }
    failed += orphans.len();
    println!("\n{} passed, {failed} failed", names.len().saturating_sub(failed));
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Parses whether transcripts are recorded, and the names of the chosen cases. Of the libtest options that
/// `cargo test` passes to every test program, those that choose tests are honoured and the others ignored.
fn parse_arguments(args: &[String]) -> Result<(bool, Vec<String>), String> {
    let (mut update, mut exact) = (false, false);
    let (mut named, mut skipped) = (Vec::new(), Vec::new());
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--update" => update = true,
            "--exact" => exact = true,
            "--skip" => skipped.extend(args.next()),
            "--test-threads" | "--color" | "--format" | "-Z" => drop(args.next()),
            option if option.starts_with('-') => {}
            _ => named.push(arg),
        }
    }
    let is = |name: &str, wanted: &str| if exact { name == wanted } else { name.contains(wanted) };
    let all = all();
    if let Some(unknown) = named.iter().find(|wanted| !all.iter().any(|name| is(name, wanted))) {
        return Err(format!("no case `{unknown}`; there are {}", all.join(", ")));
    }
    let wanted = |name: &String| {
        (named.is_empty() || named.iter().any(|n| is(name, n))) && !skipped.iter().any(|n| is(name, n))
    };
    Ok((update, all.into_iter().filter(wanted).collect()))
}

/// Returns the names of all cases, sorted.
fn all() -> Vec<String> {
    let mut names = kasmina_tests::cases::names();
    names.extend(live::NAMES.map(str::to_owned));
    names.sort();
    names
}

fn run(name: &str) -> String {
    if live::NAMES.contains(&name) { live::run(name) } else { trained::run(name) }
}

/// Name of a case, its transcript or error, and the seconds that it took.
type Outcome = (String, Result<String, String>, f64);

/// Runs every case in a process of its own, two at a time.
fn in_children(names: &[String]) -> Vec<Outcome> {
    let (queue, results) = (Mutex::new(names.iter()), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let Some(name) = queue.lock().unwrap().next() else { break };
                    let begun = Instant::now();
                    let result = child(name);
                    let outcome = (name.clone(), result, begun.elapsed().as_secs_f64());
                    results.lock().unwrap().push(outcome);
                }
            });
        }
    });
    let mut results = results.into_inner().unwrap();
    results.sort_by(|a, b| a.0.cmp(&b.0));
    results
}

fn child(name: &str) -> Result<String, String> {
    let program = std::env::current_exe().map_err(|e| e.to_string())?;
    let mut command = Command::new(program);
    command.args(["--case", name]).env("RUST_BACKTRACE", "0");
    // The parent has already built the plugins.
    command.env("KASMINA_TEST_BUILT", kasmina_tests::built()).envs(PORTABLE);
    let out = command.output().map_err(|e| e.to_string())?;
    if out.status.success() {
        return String::from_utf8(out.stdout).map_err(|e| e.to_string());
    }
    Err(format!("{}: {}", out.status, String::from_utf8_lossy(&out.stderr)))
}

fn expected(name: &str) -> PathBuf {
    kasmina_tests::cases::folder().join("expected").join(name).with_extension("txt")
}

fn record(name: &str, found: &str) {
    std::fs::write(expected(name), format!("cpu {}\n{found}", kasmina_torch_ext::cpu_name()))
        .expect("the transcript is written");
}

/// Names of transcripts whose cases no longer exist.
fn orphans() -> Vec<String> {
    let known = all();
    let files = std::fs::read_dir(kasmina_tests::cases::folder().join("expected"))
        .expect("the transcripts are there");
    let names = files.map(|f| f.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned());
    names.filter(|name| !known.contains(name)).collect()
}
