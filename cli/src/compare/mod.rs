//! `kasmina compare`.

mod children;
mod plot;
pub(crate) mod task;
mod units;

use crate::args::CompareArgs;
use crate::failure::Failure;
use crate::table;
use children::{Children, VISIBLE_GPUS};
use indicatif::MultiProgress;
use kasmina_files::write_whole;
use kasmina_trainer::compare::{CompareConfig, Report, Row, compare};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use units::with_unit;

pub(crate) fn run(args: CompareArgs, screen: &MultiProgress) -> Result<(), Failure> {
    let mut config = CompareConfig::from_file(&args.config)?;
    if let Some(seeds) = args.seeds {
        config.seeds = seeds;
    }
    let absolute = |p: PathBuf| std::path::absolute(&p).unwrap_or(p);
    config.run.plugin_path.splice(0..0, args.access.plugin_path.iter().cloned().map(absolute));
    let name =
        args.config.file_stem().map_or_else(|| "comparison".into(), |s| s.to_string_lossy().into_owned());
    let out = args.out.unwrap_or_else(|| PathBuf::from("runs").join(format!("compare-{name}")));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    // Runs on one GPU share its memory, and only the user knows how many fit.
    let gpus = gpus(&config);
    let default_jobs = || match gpus.len() {
        0 if config.run.is_on_gpu() => 1,
        0 => (cores / config.run.threads.max(1) as usize).max(1),
        gpus => gpus,
    };
    let jobs = args.jobs.map_or_else(default_jobs, NonZeroUsize::get);
    let mut children = Children::new(screen, out.join("runs"), jobs, gpus, args.task_of, &args.access)?;
    let report = compare(&config, &mut children)?;
    children.finish();
    if args.task_of.is_some_and(|task| !task.reports()) {
        errln!("all runs are done; task 1 writes the report");
        return Ok(());
    }

    let json = serde_json::to_string_pretty(&report).map_err(Failure::new)?;
    let picture = plot::svg(&report).map_err(Failure::new)?;
    for (file, text) in [("compare.json", &json), ("compare.svg", &picture)] {
        let path = out.join(file);
        write_whole(&path, text.as_bytes(), true)
            .map_err(|e| Failure::new(format!("{}: {e}", path.display())))?;
    }
    if args.json {
        outln!("{json}");
    } else {
        print(&report);
        outln!();
        outln!("plot        {}", out.join("compare.svg").display());
        outln!("numbers     {}", out.join("compare.json").display());
    }
    Ok(())
}

/// Returns the GPUs over which runs are spread, as `CUDA_VISIBLE_DEVICES` names them: all that this process
/// sees, unless the configuration names one by its number.
fn gpus(config: &CompareConfig) -> Vec<String> {
    if !config.run.is_on_gpu() || config.run.device.contains(':') {
        return Vec::new();
    }
    let count = kasmina_trainer::device::gpus();
    let visible = std::env::var(VISIBLE_GPUS).unwrap_or_default();
    let named: Vec<String> =
        visible.split(',').map(str::trim).filter(|gpu| !gpu.is_empty()).map(str::to_owned).collect();
    if named.is_empty() {
        (0..count).map(|gpu| gpu.to_string()).collect()
    } else {
        named.into_iter().take(count).collect()
    }
}

fn print(report: &Report) {
    let header =
        ["ARM", "ACCURACY", "±", "RATE", "PARAMETERS", "FORWARD", "TRAINING", "EPOCHS", "SECONDS", "FOSSILS"];
    let mut rows = table::table(&header, &header[1..]);
    for row in &report.rows {
        rows.add_row([
            row.arm.id().to_owned(),
            format!("{:.2} %", row.mean),
            format!("{:.2}", row.deviation),
            format!("{}{}", row.rate, if row.at_the_edge { "*" } else { "" }),
            format!("{:.0}", row.parameters),
            with_unit(row.multiply_adds),
            with_unit(row.training_multiply_adds),
            format!("{:.0}", row.epochs),
            format!("{:.1}", row.wall_seconds),
            format!("{:.1}", row.fossilized),
        ]);
    }
    table::print(&rows);
    outln!();
    for against in &report.against {
        let interval = against.interval.map_or_else(String::new, |half| format!(" ± {half:.2}"));
        let (verdict, control) = (against.verdict.words(), against.arm.describe());
        outln!("grown is {verdict} {control}: {:+.2}{interval} points", against.difference);
    }
    outln!();
    let config = &report.config;
    outln!(
        "{} of {} epochs; means over {} random seeds, rates chosen among {:?} with {} other random seeds; \
         FORWARD (per sample) and TRAINING in multiply-adds",
        report.task,
        config.run.epochs,
        config.seeds,
        config.rates,
        config.tuning_seeds
    );
    if report.rows.iter().any(|row: &Row| row.at_the_edge) {
        outln!("* the lowest or highest rate of the grid: the best rate may lie outside the grid");
    }
}
