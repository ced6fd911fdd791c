//! `cargo xtask growth`: does growing pay? The default run beside its controls, over several seeds.
//!
//! Controls: the same run with its slots empty; the net of the grown run's final shape, trained whole from the
//! start for as many epochs; and that same net for as many parameter-steps (parameters that ran, summed over
//! the steps) as the grown run spent.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::{product, repo::Repo};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Run the seeds 1 to N.
    #[arg(long, value_name = "N", default_value_t = 5)]
    seeds: u64,
    /// Where the runs go; must not hold them already.
    #[arg(long, value_name = "DIR", default_value = "runs/growth")]
    out: PathBuf,
}

/// What one run of the binary left.
struct Run {
    accuracy: f64,
    params: u64,
    epochs: u64,
    steps: u64,
    parameter_steps: u64,
    fossils: Vec<u64>,
    germinated: u64,
    pruned: u64,
}

struct Row {
    seed: u64,
    grown: Run,
    host: Run,
    whole: Run,
    matched: Run,
}

/// Runs everything and prints the table.
pub(crate) fn run(repo: &Repo, args: &Args) -> Result<ExitCode> {
    let kasmina = product::build(repo, true)?;
    let mut rows = Vec::new();
    for seed in 1..=args.seeds {
        let train = |name: &str, config: &str| -> Result<Run> {
            eprintln!("seed {seed}: {name}");
            train(&kasmina, &args.out.join(format!("{name}-{seed}")), seed, config)
        };
        let grown = train("grown", "")?;
        let host = train("host", "disable_seeds = true\n")?;
        let shape = format!("disable_seeds = true\n[host.config]\nresidual_after = {:?}\n", grown.fossils);
        let whole = train("static", &shape)?;
        let per_epoch = whole.parameter_steps as f64 / whole.epochs as f64;
        let epochs = (grown.parameter_steps as f64 / per_epoch).round().max(1.0);
        let matched = train("matched", &format!("epochs = {epochs}\n{shape}"))?;
        rows.push(Row { seed, grown, host, whole, matched });
    }
    println!("{}", table(&rows));
    Ok(ExitCode::SUCCESS)
}

fn train(kasmina: &Path, out: &Path, seed: u64, config: &str) -> Result<Run> {
    let file = tempfile::Builder::new().suffix(".toml").tempfile()?;
    fs::write(file.path(), config)?;
    let mut command = Command::new(kasmina);
    command.args(["train", "--device", "cpu", "--json", "--seed", &seed.to_string(), "--config"]);
    command.arg(file.path()).arg("--out").arg(out).stderr(Stdio::piped());
    let done = command.output().with_context(|| format!("cannot run {}", kasmina.display()))?;
    if !done.status.success() {
        bail!("{} failed: {}", out.display(), String::from_utf8_lossy(&done.stderr).trim());
    }
    let summary: Value = serde_json::from_slice(&done.stdout).context("the summary cannot be read")?;
    let number = |name: &str| summary[name].as_u64().with_context(|| format!("the summary has no `{name}`"));
    let fossils = summary["seeds"].as_array().into_iter().flatten().filter(|s| s["fate"] == "fossilized");
    let mut fossils: Vec<u64> =
        fossils.filter_map(|s| s["slot"].as_str()?.strip_prefix("block")?.parse().ok()).collect();
    fossils.sort_unstable();
    Ok(Run {
        accuracy: summary["final_val_accuracy"].as_f64().context("the summary has no accuracy")?,
        params: number("total_params")?,
        epochs: number("epochs")?,
        steps: number("steps")?,
        parameter_steps: number("parameter_steps")?,
        fossils,
        germinated: number("germinated")?,
        pruned: number("pruned")?,
    })
}

/// Markdown, as the README has it.
fn table(rows: &[Row]) -> String {
    let mut text = String::from(
        "| seed | germinated | fossilized | pruned | parameters | grown | host alone | static, same epochs | static, same cost |\n|---|---|---|---|---|---|---|---|---|\n",
    );
    for Row { seed, grown, host, whole, matched } in rows {
        let _ = writeln!(
            text,
            "| {seed} | {} | {} | {} | {} -> {} | **{:.2}** | {:.2} | {:.2} | {:.2} ({} epochs) |",
            grown.germinated,
            grown.fossils.len(),
            grown.pruned,
            host.params,
            grown.params,
            grown.accuracy,
            host.accuracy,
            whole.accuracy,
            matched.accuracy,
            matched.epochs,
        );
    }
    let mean = |of: fn(&Row) -> f64| rows.iter().map(of).sum::<f64>() / rows.len().max(1) as f64;
    let _ = writeln!(
        text,
        "| mean | {:.1} | {:.1} | {:.1} | | **{:.2}** | {:.2} | {:.2} | {:.2} |",
        mean(|r| r.grown.germinated as f64),
        mean(|r| r.grown.fossils.len() as f64),
        mean(|r| r.grown.pruned as f64),
        mean(|r| r.grown.accuracy),
        mean(|r| r.host.accuracy),
        mean(|r| r.whole.accuracy),
        mean(|r| r.matched.accuracy),
    );
    let least = rows.iter().map(|r| r.grown.accuracy - r.host.accuracy).fold(f64::INFINITY, f64::min);
    let _ = write!(
        text,
        "\nAgainst the host alone: {:+.2} points in the mean, {least:+.2} in the least seed; {} steps a run.",
        mean(|r| r.grown.accuracy - r.host.accuracy),
        rows.first().map_or(0, |r| r.grown.steps),
    );
    text
}

#[cfg(test)]
mod spec {
    use super::{Row, Run, table};

    #[test]
    fn the_table_has_a_row_a_seed_and_the_means() {
        let run = |accuracy, params| Run {
            accuracy,
            params,
            epochs: 60,
            steps: 1020,
            parameter_steps: 7,
            fossils: vec![0, 2],
            germinated: 3,
            pruned: 1,
        };
        let row = |seed, grown| Row {
            seed,
            grown: run(grown, 120),
            host: run(90.0, 100),
            whole: run(91.0, 120),
            matched: run(90.5, 120),
        };
        let text = table(&[row(1, 92.0), row(2, 93.0)]);
        assert!(
            text.contains("| 1 | 3 | 2 | 1 | 100 -> 120 | **92.00** | 90.00 | 91.00 | 90.50 (60 epochs) |"),
            "{text}"
        );
        assert!(text.contains("| mean | 3.0 | 2.0 | 1.0 | | **92.50** | 90.00 | 91.00 | 90.50 |"), "{text}");
        assert!(
            text.ends_with("+2.50 points in the mean, +2.00 in the least seed; 1020 steps a run."),
            "{text}"
        );
    }
}
