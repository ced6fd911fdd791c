//! `cargo xtask bench`: runs all benchmarks and reports their results as ratios.

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};

use crate::{process, repo::Repo, setup};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Run only benchmarks whose name contains this, for example `adamw`, `cpu` or `cuda b128 fp32`.
    #[arg(long, value_name = "TEXT", default_value = "")]
    filter: String,
    /// Compare with an earlier report, for example one in bench/baselines. Fails if a ratio is worse by more
    /// than the noise.
    #[arg(long, value_name = "FILE")]
    against: Option<PathBuf>,
    /// Write the report to this file, as JSON.
    #[arg(long, value_name = "FILE", default_value = "target/bench/report.json")]
    json: PathBuf,
    /// Skip the micro-benchmarks.
    #[arg(long)]
    no_micro: bool,
    /// More arguments for `kasmina-bench`, for example `-- --device cuda --python /path/to/python3 --quick`.
    #[arg(last = true)]
    more: Vec<OsString>,
}

pub(crate) fn run(repo: &Repo, args: &Args) -> Result<ExitCode> {
    let torch = setup::run(repo, false)?;
    let all = ["--workspace", "--all-features"];
    let mut build = torch.cargo();
    build.args(["build", "--release"]).args(all).args(["--lib", "--bins", "--examples"]);
    process::check(build.current_dir(repo.root()))?;

    let target = repo.target()?;
    let built = target.join("release");
    let measured = target.join("bench");
    let criterion = measured.join("criterion");
    // Results of an earlier run must not end up in this report.
    let _ = fs::remove_dir_all(&criterion);
    fs::create_dir_all(&criterion).with_context(|| format!("cannot create {}", criterion.display()))?;
    if !args.no_micro {
        let mut micro = torch.cargo();
        micro.arg("bench").args(all).args(["--bench", "micro", "--", "--quiet", "--noplot"]);
        if !args.filter.is_empty() {
            micro.arg(&args.filter);
        }
        micro.env("CRITERION_HOME", &criterion).env("KASMINA_TEST_BUILT", &built);
        process::check(micro.current_dir(repo.root()))?;
    }
    let json = repo.root().join(&args.json);
    if let Some(dir) = json.parent() {
        fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
    }
    let mut whole = std::process::Command::new(built.join("kasmina-bench"));
    whole.env("KASMINA_TEST_BUILT", &built).current_dir(repo.root());
    whole.args(["--filter", &args.filter]).arg("--micro").arg(&criterion).arg("--json").arg(&json);
    if let Some(before) = &args.against {
        whole.arg("--against").arg(before);
    }
    let status = process::status(whole.args(&args.more))?;
    println!("report: {}", args.json.display());
    Ok(ExitCode::from(u8::try_from(process::code(status)).unwrap_or(1)))
}
