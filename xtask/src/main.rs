//! `cargo xtask`: the tasks of this repository that plain cargo cannot do.
//!
//! This program performs the set-up, so it must build without one and does not depend on torch. Tasks that
//! need the set-up (`demo`, `build`, `test`, `ci` and others) run it first.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command-line tool talks to its terminal")]

mod audit;
mod bench;
mod ci;
mod demo;
mod dist;
mod examples;
mod faults;
mod fuzz;
mod golden;
mod kills;
mod process;
mod product;
mod rank_faults;
mod repo;
mod setup;
mod site;
mod snapshots;
mod soak;
mod tests;
mod tidy;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use repo::Repo;

#[derive(Parser)]
#[command(bin_name = "cargo xtask", about = "Set-up, demo, tests and checks of this repository", version)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Install PyTorch and transformers into the per-user cache, for the tests of exported networks, and
    /// print their folder, for PYTHONPATH.
    Python,
    /// Fetch libtorch into the per-user cache and link it at `.torch/libtorch`.
    ///
    /// If LIBTORCH or LIBTORCH_USE_PYTORCH is set, that libtorch is checked and used, and nothing is fetched.
    Setup {
        /// Also fetch the GPU libraries, into `.torch/libtorch/cuda` (about 2.5 GB).
        #[arg(long)]
        cuda: bool,
    },
    /// Set up, build the program `kasmina` and its plugins, and put the plugins beside the executable.
    Build {
        /// Build with optimisations.
        #[arg(long)]
        release: bool,
    },
    /// Set up, build in release mode and train: `kasmina train [ARGS]...`.
    Demo {
        /// Arguments of `kasmina train`; the default is `--out runs/demo-<unix time>`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<std::ffi::OsString>,
    },
    /// Set up and run the tests: `cargo test --workspace --all-features [ARGS]...`.
    Test {
        /// Arguments of `cargo test`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<std::ffi::OsString>,
    },
    /// Set up, build in release mode, and make a folder and an archive that run anywhere and as any user.
    Dist(dist::Args),
    /// Set up, build in release mode and compare growing with its controls: `kasmina compare [ARGS]...`.
    Compare {
        /// Arguments of `kasmina compare`, for example `examples/compare/digits.toml`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<std::ffi::OsString>,
    },
    /// Set up and run the benchmarks: parts against what they replace, and whole training steps against a
    /// plain loop and, if Python has torch, against PyTorch. Prints ratios.
    Bench(bench::Args),
    /// Set up, run a hundred epochs of the main job and a hundred rounds of germinate and prune, and print
    /// the measurements.
    Soak(soak::Args),
    /// Set up and run short trainings whose losses, events and weights must match the recorded ones bit for
    /// bit.
    Golden(golden::Args),
    /// Set up, inject faults into runs (kills, full disks, damaged files, signals), and print what was lost.
    Faults(faults::Args),
    /// Set up, kill runs in every stage, resume them, compare each with an uninterrupted run, and print a
    /// table.
    Kills(kills::Args),
    /// Set up, inject faults into runs on several ranks, and print a table.
    RankFaults(rank_faults::Args),
    /// Set up and run a coverage-guided fuzzer on the lifecycle or on a parser.
    Fuzz(fuzz::Args),
    /// Set up, and build, test and run the crates in `examples/`.
    Examples,
    /// Write the documents as HTML to `target/site`, and print each broken link.
    Site,
    /// Run every check that a change must pass; a failure does not stop the later ones.
    Ci(ci::Args),
    /// Check the repository's own rules, such as where `unsafe` is allowed, and that links lead to files.
    Tidy,
}

fn main() -> ExitCode {
    run(Cli::parse().task).unwrap_or_else(|error| {
        eprintln!("error: {error}");
        for cause in error.chain().skip(1) {
            eprintln!("  because: {cause}");
        }
        ExitCode::FAILURE
    })
}

fn run(task: Task) -> Result<ExitCode> {
    let repo = Repo::find()?;
    match task {
        Task::Python => setup::python_packages(&repo).map(|folder| {
            println!("{}", folder.display());
            ExitCode::SUCCESS
        }),
        Task::Setup { cuda } => setup::run(&repo, cuda).map(|_| ExitCode::SUCCESS),
        Task::Build { release } => {
            let kasmina = product::build(&repo, release)?;
            eprintln!("built {}", kasmina.display());
            Ok(ExitCode::SUCCESS)
        }
        Task::Demo { args } => demo::run(&repo, &args),
        Task::Test { args } => tests::run(&repo, &args),
        Task::Dist(args) => dist::run(&repo, &args),
        Task::Compare { args } => demo::compare(&repo, &args),
        Task::Bench(args) => bench::run(&repo, &args),
        Task::Soak(args) => soak::run(&repo, &args),
        Task::Golden(args) => golden::run(&repo, args),
        Task::Faults(args) => faults::run(&repo, &args),
        Task::Kills(args) => kills::run(&repo, &args),
        Task::RankFaults(args) => rank_faults::run(&repo, &args),
        Task::Fuzz(args) => fuzz::run(&repo, &args),
        Task::Examples => examples::run(&repo),
        Task::Site => site::run(&repo),
        Task::Ci(args) => Ok(ci::run(&repo, &args)),
        Task::Tidy => tidy::run(&repo),
    }
}

#[cfg(test)]
mod cli {
    use super::{Cli, Task};
    use clap::{CommandFactory as _, Parser as _};

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn arguments_of_demo_and_test_are_passed_through() -> anyhow::Result<()> {
        let cli = Cli::try_parse_from(["xtask", "test", "-p", "kasmina", "--", "--nocapture"])?;
        let Task::Test { args } = cli.task else { anyhow::bail!("parsed as another task") };
        assert_eq!(args, ["-p", "kasmina", "--", "--nocapture"]);
        let cli = Cli::try_parse_from(["xtask", "demo", "--out", "runs/x"])?;
        let Task::Demo { args } = cli.task else { anyhow::bail!("parsed as another task") };
        assert_eq!(args, ["--out", "runs/x"]);
        Ok(())
    }
}
