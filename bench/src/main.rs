//! `kasmina-bench`: compares training steps of the framework with those of a plain loop and of PyTorch.
//!
//! Machines differ and are noisy, so results are reported as ratios: everything that is compared runs in
//! turns, round by round, and medians are divided. `cargo xtask bench` builds this program, runs the
//! micro-benchmarks, and calls it.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command-line tool talks to its terminal")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a benchmark may panic")]

mod bare;
mod exported;
mod fossils;
mod generate;
mod grown;
mod hosts;
mod layouts;
mod limit;
mod many;
mod micro;
mod peer;
mod ranks;
mod report;
mod setting;
mod stopwatch;
mod whole;

use anyhow::{Context as _, Result};
use clap::Parser;
use kasmina::model::Precision;
use kasmina_torch_ext::cuda::{self, Convolutions};
use setting::{Setting, settings};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;
use tch::Device;

/// Measures whole training steps, and prints a table of ratios.
#[derive(Debug, Parser)]
#[command(name = "kasmina-bench", version)]
#[expect(clippy::struct_excessive_bools, reason = "each is a separate command-line switch")]
struct Args {
    /// Device to measure: cpu, cuda, or auto for the CPU and, if there is one, the GPU.
    #[arg(long, default_value = "auto")]
    device: String,
    /// Measure only rows whose name contains this.
    #[arg(long, default_value = "")]
    filter: String,
    /// Compare the ratios with those of an earlier report. Fails if one is worse by more than the noise.
    #[arg(long, value_name = "FILE")]
    against: Option<PathBuf>,
    /// Write the report to this file, as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Folder with criterion's results of the micro-benchmarks, to include in the report.
    #[arg(long, value_name = "DIR")]
    micro: Option<PathBuf>,
    /// Python interpreter whose PyTorch is compared; the comparison is skipped if it has none.
    #[arg(long, default_value = "python3")]
    python: String,
    /// Let cuDNN try all algorithms and use the fastest, on both sides.
    #[arg(long)]
    fastest: bool,
    /// Skip torch.compile, which takes a minute for each network.
    #[arg(long)]
    no_compile: bool,
    /// Number of rounds; every round measures everything once.
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Instead of measuring, write traces of training steps to this folder and print the slowest kernels.
    #[arg(long, value_name = "DIR")]
    trace: Option<PathBuf>,
    /// Instead of the other benchmarks, measure training steps on this many ranks, each on a device of its
    /// own.
    #[arg(long, value_name = "N")]
    ranks: Option<usize>,
    /// Instead of measuring, train every blueprint on a task of its topology, and print which are fossilized.
    #[arg(long)]
    fossils: bool,
    /// Run one round of a few steps, as a test of the benchmarks.
    #[arg(long)]
    quick: bool,
}

/// Rows of the shipped hosts. On the CPU they are measured only with `--filter hosts`.
fn host_rows(args: &Args, python: &peer::Python, rounds: usize) -> Result<Vec<stopwatch::Row>> {
    let mut rows = Vec::new();
    let devices: BTreeSet<bool> = settings(&args.device)?.iter().map(|s| s.device.is_cuda()).collect();
    let selected = "hosts".contains(&args.filter);
    for device in devices.into_iter().filter(|cuda| selected && (*cuda || !args.filter.is_empty())) {
        let device = if device { Device::Cuda(0) } else { Device::Cpu };
        for (subject, precision) in
            hosts::SUBJECTS.into_iter().flat_map(|s| [(s, Precision::Fp32), (s, Precision::Bf16)])
        {
            let batch = if device.is_cuda() { subject.batch } else { 2 };
            let setting = Setting { device, batch, precision };
            eprintln!("{} {} ...", setting.name(), subject.name);
            rows.extend(hosts::measure(subject, setting, rounds, args.quick));
            rows.extend(python.host(setting, subject.name)?);
        }
    }
    Ok(rows)
}

fn main() -> Result<ExitCode> {
    let args = Args::parse();
    if args.fastest {
        cuda::choose(Convolutions::Fastest)?;
    }
    if let Some(size) = args.ranks {
        let rounds = if args.quick { 1 } else { args.rounds.max(1) };
        let python = peer::Python::find(&args.python, false, args.fastest, rounds, args.quick);
        let Some(mut rank) = ranks::Rank::join(args.device != "cpu")? else {
            ranks::launch(size)?;
            return Ok(ExitCode::SUCCESS);
        };
        rank.measure(&args.filter, &python, rounds, args.quick)?;
        return Ok(ExitCode::SUCCESS);
    }
    if args.fossils {
        println!("{}", fossils::table(&args.filter)?);
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(dir) = &args.trace {
        std::fs::create_dir_all(dir).with_context(|| format!("creating {}", dir.display()))?;
        for setting in settings(&args.device)?.into_iter().filter(|s| s.name().contains(&args.filter)) {
            println!("{}", whole::trace(setting, grown::Net::Training, dir)?);
        }
        return Ok(ExitCode::SUCCESS);
    }
    let rounds = if args.quick { 1 } else { args.rounds.max(1) };
    let mut rows = Vec::new();
    if let Some(dir) = &args.micro {
        rows.extend(micro::read(dir).with_context(|| format!("reading {}", dir.display()))?);
    }
    let python = peer::Python::find(&args.python, !args.no_compile, args.fastest, rounds, args.quick);
    for setting in settings(&args.device)? {
        if !setting.name().contains(&args.filter) {
            continue;
        }
        eprintln!("{} ...", setting.name());
        let plain = setting.device.is_cuda() && setting.batch == 128 && setting.precision == Precision::Fp32;
        if plain {
            // This comes first: it measures a germination for which libraries have loaded and compiled
            // nothing.
            rows.extend(whole::structure(setting));
        }
        rows.extend(whole::measure(setting, rounds, args.quick));
        rows.extend(python.steps(setting)?);
        if plain {
            rows.extend(many::measure(setting.device, rounds, args.quick));
            rows.extend(python.many(setting)?);
        }
    }
    rows.extend(host_rows(&args, &python, rounds)?);
    let has_gpu = settings(&args.device)?.iter().any(|s| s.device.is_cuda());
    let device = if has_gpu { Device::Cuda(0) } else { Device::Cpu };
    if args.filter.contains("exported") {
        let home = tempfile::tempdir()?;
        exported::prepare(home.path())?;
        rows.extend(python.exported(device, home.path())?);
    }
    if args.filter.contains("generate") {
        rows.extend(generate::measure(device, rounds, args.quick)?);
        rows.extend(python.generate(device)?);
    }
    if args.device != "cuda" && "cpu layout".contains(&args.filter) {
        eprintln!("cpu layout ...");
        rows.extend(layouts::measure(rounds, args.quick));
    }
    let report = report::Report::new(rows);
    println!("{report}");
    if let Some(path) = &args.json {
        std::fs::write(path, serde_json::to_string_pretty(&report)?)
            .with_context(|| format!("writing {}", path.display()))?;
    }
    let Some(path) = &args.against else { return Ok(ExitCode::SUCCESS) };
    let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    let before: report::Report = serde_json::from_str(&text)
        .with_context(|| format!("{} is not a report of this program", path.display()))?;
    let comparison = report.against(&before);
    println!("{comparison}");
    Ok(if comparison.is_worse() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
