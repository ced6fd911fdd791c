//! `cargo xtask ci`: runs every check that a change must pass, and prints a table of the results.

use std::env;
use std::fmt;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use clap::ValueEnum;

use crate::setup::Torch;
use crate::{audit, dist, examples, faults, process, repo::Repo, setup, site, snapshots, tests, tidy};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Run only this step; may be given several times.
    #[arg(long, value_name = "STEP")]
    only: Vec<Step>,
    /// Skip the tests; `snapshots` then uses the record of the last full `cargo xtask test`.
    #[arg(long)]
    skip_test: bool,
}

/// The steps, in the order in which they run: quick checks come first.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Step {
    Fmt,
    Tidy,
    Site,
    Clippy,
    Doc,
    Test,
    Faults,
    Examples,
    Snapshots,
    Dist,
    Audit,
}

enum Outcome {
    Passed,
    Failed(String),
}

/// Runs the steps. A failed step does not prevent later ones from running.
pub(crate) fn run(repo: &Repo, args: &Args) -> ExitCode {
    let wanted = |step: &&Step| {
        (args.only.is_empty() || args.only.contains(step)) && !(args.skip_test && **step == Step::Test)
    };
    let steps: Vec<Step> = Step::value_variants().iter().filter(wanted).copied().collect();
    // Clippy and rustdoc run build scripts, so they need libtorch too.
    let compiles = |step: &Step| {
        matches!(step, Step::Clippy | Step::Doc | Step::Test | Step::Faults | Step::Examples | Step::Dist)
    };
    let torch = steps.iter().any(compiles).then(|| setup::run(repo, false));

    let mut results = Vec::new();
    for step in steps {
        println!("\n=== {step}");
        let start = Instant::now();
        let outcome = run_step(step, repo, torch.as_ref())
            .unwrap_or_else(|error| Outcome::Failed(format!("{error:#}")));
        if let Outcome::Failed(why) = &outcome {
            println!("{step} failed: {why}");
        }
        results.push((step, outcome, start.elapsed()));
    }
    println!("\n{}", table(&results));
    let failed: Vec<String> = results
        .iter()
        .filter(|(_, outcome, _)| matches!(outcome, Outcome::Failed(_)))
        .map(|(step, ..)| step.to_string())
        .collect();
    if failed.is_empty() {
        return ExitCode::SUCCESS;
    }
    println!("failed: {}", failed.join(", "));
    ExitCode::FAILURE
}

fn run_step(step: Step, repo: &Repo, torch: Option<&Result<Torch>>) -> Result<Outcome> {
    let torch = || match torch {
        Some(Ok(torch)) => Ok(torch),
        Some(Err(error)) => bail!("the set-up failed: {error}"),
        None => bail!("this step needs the set-up, which did not run; this is a bug"),
    };
    let outcome = match step {
        Step::Fmt => program(process::cargo().args(["fmt", "--all", "--check"]).current_dir(repo.root()))?,
        Step::Clippy => program(
            torch()?
                .cargo()
                .args(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])
                .current_dir(repo.root()),
        )?,
        Step::Doc => {
            let flags = env::var("RUSTDOCFLAGS").unwrap_or_default() + " -D warnings";
            let mut doc = torch()?.cargo();
            doc.args(["doc", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", flags.trim());
            program(doc.current_dir(repo.root()))?
        }
        Step::Tidy => findings(&tidy::findings(repo)?, "finding(s)"),
        Step::Test => program(&mut tests::command(repo, torch()?, &[])?)?,
        Step::Faults => program(&mut tests::command(repo, torch()?, &faults::forwarded(2.0, 1))?)?,
        Step::Site => findings(&site::write(repo)?.1, "broken link(s)"),
        Step::Examples => {
            torch()?;
            code(examples::run(repo)?)
        }
        Step::Dist => {
            torch()?;
            code(dist::run(repo, &dist::Args::debug_and_try())?)
        }
        Step::Snapshots => findings(&snapshots::unreferenced(repo)?, "snapshot(s) that no test asserts"),
        Step::Audit => program(&mut audit::command(repo)?)?,
    };
    Ok(outcome)
}

fn program(command: &mut Command) -> Result<Outcome> {
    let status = process::status(command)?;
    Ok(if status.success() {
        Outcome::Passed
    } else {
        Outcome::Failed(format!("exit code {}", process::code(status)))
    })
}

fn code(code: ExitCode) -> Outcome {
    if code == ExitCode::SUCCESS {
        Outcome::Passed
    } else {
        Outcome::Failed("see the output above".to_owned())
    }
}

fn findings(lines: &[impl fmt::Display], what: &str) -> Outcome {
    for line in lines {
        println!("{line}");
    }
    if lines.is_empty() { Outcome::Passed } else { Outcome::Failed(format!("{} {what}", lines.len())) }
}

fn table(results: &[(Step, Outcome, Duration)]) -> String {
    let row = |(step, outcome, took): &(Step, Outcome, Duration)| {
        format!("{:<16} {:>7.1} s  {outcome}", step.to_string(), took.as_secs_f64())
    };
    results.iter().map(row).collect::<Vec<_>>().join("\n")
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.to_possible_value().as_ref().map_or("?", |value| value.get_name()))
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Passed => f.write_str("ok"),
            Self::Failed(why) => write!(f, "FAILED: {why}"),
        }
    }
}

#[cfg(test)]
mod spec {
    use super::{Outcome, Step, table};
    use std::time::Duration;

    #[test]
    fn the_table_has_the_outcome_of_each_step() {
        let results = [
            (Step::Fmt, Outcome::Passed, Duration::from_millis(1_240)),
            (Step::Audit, Outcome::Failed("exit code 1".into()), Duration::ZERO),
            (Step::Tidy, Outcome::Failed("2 finding(s)".into()), Duration::from_secs(100)),
        ];
        let expected = "\
fmt                  1.2 s  ok
audit                0.0 s  FAILED: exit code 1
tidy               100.0 s  FAILED: 2 finding(s)";
        assert_eq!(table(&results), expected);
    }
}
