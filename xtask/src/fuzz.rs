//! `cargo xtask fuzz`: the laws of the property tests under a coverage-guided fuzzer.
//!
//! libFuzzer comes with `libfuzzer-sys`; the instrumentation is plain code generation flags, so the stable
//! toolchain does and nothing needs to be installed.

use std::fs;
use std::process::ExitCode;

use anyhow::{Context as _, Result};

use crate::{process, repo::Repo, setup};

/// What `cargo fuzz` passes, less the address sanitizer: there is no unsafe code in what is fuzzed.
const FLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module -Ccodegen-units=1 -Cdebug-assertions \
    -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares";
/// Everything that is fuzzed: the laws of the lifecycle, and the parsers of files and messages that people
/// exchange.
const TARGETS: [&str; 11] = [
    "checkpoint",
    "control",
    "declared",
    "images",
    "library",
    "lifecycle",
    "lock",
    "module",
    "quarantine",
    "script",
    "sidecar",
];
const HOST: &str = "x86_64-unknown-linux-gnu";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Target to fuzz.
    #[arg(default_value = "lifecycle", value_parser = TARGETS)]
    target: String,
    /// Number of inputs to try.
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    runs: u64,
    /// End after so many seconds, whatever was tried by then.
    #[arg(long, value_name = "S", default_value_t = 0)]
    seconds: u64,
}

/// Builds the target with coverage and runs it. What it finds worth keeping is in `target/fuzz-corpus`; an
/// input that breaks a law ends it, and is written beside it.
pub(crate) fn run(repo: &Repo, args: &Args) -> Result<ExitCode> {
    let torch = setup::run(repo, false)?;
    let corpus = repo.root().join("target/fuzz-corpus").join(&args.target);
    // Valid files of each kind as a start: a fuzzer would take long to find one.
    let kept = repo.root().join(match args.target.as_str() {
        "declared" => "plugins/declared/examples".to_owned(),
        "module" => "tests/fixtures/script".to_owned(),
        target => format!("fuzz/corpus/{target}"),
    });
    fs::create_dir_all(&corpus).with_context(|| format!("cannot create {}", corpus.display()))?;
    // A target of its own, so that build scripts and macros are not instrumented.
    let mut cargo = torch.cargo();
    cargo
        .args(["run", "--release", "--target", HOST, "--manifest-path"])
        .arg(repo.root().join("fuzz/Cargo.toml"))
        .arg("--target-dir")
        .arg(repo.root().join("target/fuzz"))
        .args(["--bin", &args.target, "--"])
        .arg(format!("-runs={}", args.runs))
        .arg(format!("-max_total_time={}", args.seconds))
        .args(["-print_final_stats=1", "-max_len=16384", "-len_control=50"])
        .arg(format!("-artifact_prefix={}-", corpus.display()))
        .arg(&corpus)
        .args(kept.exists().then_some(&kept))
        .env("RUSTFLAGS", FLAGS)
        .current_dir(repo.root());
    let status = process::status(&mut cargo)?;
    Ok(ExitCode::from(u8::try_from(process::code(status)).unwrap_or(1)))
}
