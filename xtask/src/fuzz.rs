//! `cargo xtask fuzz`: runs a coverage-guided fuzzer on the lifecycle or on a parser.
//!
//! libFuzzer comes with `libfuzzer-sys`, and the instrumentation needs only code generation flags. The stable
//! toolchain is sufficient, and nothing needs to be installed.

use std::fs;
use std::process::ExitCode;

use anyhow::{Context as _, Result};

use crate::{process, repo::Repo, setup};

/// Flags that `cargo fuzz` passes, except the address sanitizer: the fuzzed code contains no unsafe code.
const FLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module -Ccodegen-units=1 -Cdebug-assertions \
    -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares";
/// Fuzz targets: the properties of the lifecycle, and the parsers of files and messages that come from
/// outside.
const TARGETS: [&str; 13] = [
    "checkpoint",
    "control",
    "declared",
    "export",
    "images",
    "library",
    "lifecycle",
    "lock",
    "module",
    "picture",
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
    /// Stop after this many seconds even if fewer inputs were tried; 0 is no limit.
    #[arg(long, value_name = "S", default_value_t = 0)]
    seconds: u64,
}

/// Builds the target with coverage and runs it. Inputs that reach new code are examples in
/// `target/fuzz-corpus/TARGET`. An input that fails ends the run and is written to
/// `target/fuzz-corpus/TARGET-...`.
pub(crate) fn run(repo: &Repo, args: &Args) -> Result<ExitCode> {
    let torch = setup::run(repo, false)?;
    let corpus = repo.root().join("target/fuzz-corpus").join(&args.target);
    // Valid inputs to start from: the fuzzer would take long to find one.
    let examples = repo.root().join(match args.target.as_str() {
        "declared" => "plugins/declared/examples".to_owned(),
        "module" => "tests/fixtures/script".to_owned(),
        target => format!("fuzz/corpus/{target}"),
    });
    fs::create_dir_all(&corpus).with_context(|| format!("cannot create {}", corpus.display()))?;
    // With an explicit target, build scripts and macros are not instrumented.
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
        .args(examples.exists().then_some(&examples))
        .env("RUSTFLAGS", FLAGS)
        .current_dir(repo.root());
    let status = process::status(&mut cargo)?;
    Ok(ExitCode::from(u8::try_from(process::code(status)).unwrap_or(1)))
}
