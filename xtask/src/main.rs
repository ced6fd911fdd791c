//! `cargo xtask`: everything this repository needs done besides plain cargo.
//!
//! This is the first thing that anyone builds here, so it depends on no torch and needs no set-up: it *is*
//! the set-up. `demo`, `build`, `test` and `ci` each bring what they need by themselves.
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
    /// Install PyTorch and transformers into the user's cache for the tests of exported networks, and print the
    /// folder, which goes into PYTHONPATH.
    Python,
    /// Bring libtorch into the per-user cache and link it at `.torch/libtorch`.
    ///
    /// A LIBTORCH or LIBTORCH_USE_PYTORCH of your own environment wins: then nothing is fetched, only
    /// checked.
    Setup {
        /// Bring the GPU libraries too, into `.torch/libtorch/cuda` (about 2.5 GB to fetch).
        #[arg(long)]
        cuda: bool,
    },
    /// Set up, build the command line and the plugins, and put the plugins beside the executable.
    Build {
        /// Build with optimisations.
        #[arg(long)]
        release: bool,
    },
    /// Set up, build in release mode and train: `kasmina train ARGS..`.
    Demo {
        /// Arguments of `kasmina train`; without any, `--out runs/demo-<unix time>`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<std::ffi::OsString>,
    },
    /// Set up and run the tests: `cargo test --workspace --all-features ARGS..`.
    Test {
        /// Arguments of `cargo test`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<std::ffi::OsString>,
    },
    /// Set up, build in release mode and make a folder and an archive that run from anywhere, as anyone.
    Dist(dist::Args),
    /// Set up, build in release mode and compare growing with its controls: `kasmina compare ARGS..`.
    Compare {
        /// Arguments of `kasmina compare`: `examples/compare/digits.toml` for one.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<std::ffi::OsString>,
    },
    /// Set up and measure: parts beside what they replace, whole training steps beside a bare loop and, where
    /// Python has torch, beside PyTorch. Prints ratios.
    Bench(bench::Args),
    /// Set up and run a hundred epochs of the main job and a hundred rounds of germinate and prune, and print
    /// what they measured.
    Soak(soak::Args),
    /// Set up and run the golden runs: short trainings whose losses, events and weights must be the recorded
    /// ones, bit for bit.
    Golden(golden::Args),
    /// Set up, let accidents happen to runs (kills, full disks, damaged files, signals), and print what was
    /// lost.
    Faults(faults::Args),
    /// Set up, kill runs in every stage, resume them, compare each with an undisturbed run, and print a
    /// table.
    Kills(kills::Args),
    /// Set up and fuzz the laws of the lifecycle, guided by coverage.
    Fuzz(fuzz::Args),
    /// Set up, and build, test and try the crates in `examples/` as their authors would.
    Examples,
    /// Write the documents as HTML to `target/site`, and tell of each broken link.
    Site,
    /// Run every check that a change must pass, all of them even when one fails.
    Ci(ci::Args),
    /// Check the repository's own rules: where `unsafe` may be, what the core may not name, dead links.
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
    fn arguments_of_demo_and_test_pass_through_untouched() -> anyhow::Result<()> {
        let cli = Cli::try_parse_from(["xtask", "test", "-p", "kasmina", "--", "--nocapture"])?;
        let Task::Test { args } = cli.task else { anyhow::bail!("parsed as another task") };
        assert_eq!(args, ["-p", "kasmina", "--", "--nocapture"]);
        let cli = Cli::try_parse_from(["xtask", "demo", "--out", "runs/x"])?;
        let Task::Demo { args } = cli.task else { anyhow::bail!("parsed as another task") };
        assert_eq!(args, ["--out", "runs/x"]);
        Ok(())
    }
}
