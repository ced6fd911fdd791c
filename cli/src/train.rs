//! `kasmina train`.

use crate::args::TrainArgs;
use crate::failure::Failure;
use crate::progress::Progress;
use crate::table;
use indicatif::MultiProgress;
use kasmina_registry::{Registry, SearchPath, services};
use kasmina_trainer::run::Status;
use kasmina_trainer::{Layers, RunConfig, Summary, Trainer};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// The exit code of a run that was interrupted, as shells have it.
const INTERRUPTED: u8 = 130;

static STOP: AtomicBool = AtomicBool::new(false);

pub(crate) fn run(args: TrainArgs, screen: &MultiProgress) -> Result<ExitCode, Failure> {
    let (json, out) = (args.json, args.out.clone());
    let watch = args.watch.clone();
    let policy = match &watch {
        None => args.access.policy(),
        Some(files) if files.is_empty() => args.access.policy().watching_loaded(true),
        Some(files) => args.access.policy().watching(files.iter().cloned()),
    };
    let config = configure(args)?;
    let search = SearchPath::standard(&config.plugin_path);
    let registry = Registry::load(&search, &policy)?;
    let mut trainer = Trainer::prepare(config, &registry)?;
    if let Some(files) = watch {
        trainer = trainer.watching(files);
    }
    let out = out.unwrap_or_else(|| default_out(trainer.config()));
    ctrlc::set_handler(stop).map_err(Failure::new)?;

    let mut progress = Progress::new(screen, trainer.config().epochs);
    let result = trainer.run(Some(&out), &mut progress, &STOP);
    progress.finish();
    let summary = result?;
    if json {
        outln!("{}", serde_json::to_string_pretty(&summary).map_err(Failure::new)?);
    } else {
        print(&summary, &out);
    }
    Ok(if summary.status == Status::Interrupted { INTERRUPTED.into() } else { ExitCode::SUCCESS })
}

/// The first Ctrl-C ends the run cleanly, the second at once.
fn stop() {
    if STOP.swap(true, Ordering::Relaxed) {
        #[expect(clippy::exit, reason = "asked twice")]
        std::process::exit(INTERRUPTED.into());
    }
    services::set_cancelled(true);
    errln!("stopping after this step; Ctrl-C again to stop at once");
}

fn default_out(config: &RunConfig) -> PathBuf {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    let name = format!("{}-seed{}-{seconds}-{}", config.task, config.seed, std::process::id());
    PathBuf::from("runs").join(name)
}

/// The file, then what was typed, then the environment's rollback switch.
fn configure(args: TrainArgs) -> Result<RunConfig, Failure> {
    fn set<T>(place: &mut T, value: Option<T>) {
        if let Some(value) = value {
            *place = value;
        }
    }
    let mut config = RunConfig::layered(Layers {
        file: args.config.as_deref(),
        task: args.task.as_deref(),
        host: args.host.as_deref(),
        blueprint: args.blueprint.as_deref(),
        blend: args.blend_algorithm.as_deref(),
    })?;
    // As given from anywhere: a run's own configuration must find them again.
    let absolute = |p: PathBuf| std::path::absolute(&p).unwrap_or(p);
    config.plugin_path.splice(0..0, args.access.plugin_path.into_iter().map(absolute));
    config.data.dir = args.data_dir.or(config.data.dir).map(absolute);
    config.data.text = args.text.or(config.data.text).map(absolute);
    set(&mut config.slots, args.slots);
    set(&mut config.max_seeds, args.max_seeds);
    if let Some(controller) = &args.controller {
        // Another controller than the one of the file has no use for the file's journal.
        if controller != "scripted" {
            config.script = None;
        }
        config.controller.clone_from(controller);
    }
    if let Some(script) = args.script {
        config.script = Some(absolute(script));
        if args.controller.is_none() {
            "scripted".clone_into(&mut config.controller);
        }
    }
    set(&mut config.epochs, args.epochs);
    set(&mut config.seed, args.seed);
    set(&mut config.device, args.device);
    set(&mut config.compute.precision, args.precision.map(Into::into));
    if args.no_capture {
        config.compute.capture = false;
    }
    let switch = std::env::var("KASMINA_DISABLE_SEEDS").unwrap_or_default();
    match switch.as_str() {
        "" | "0" | "false" => {}
        "1" | "true" => config.disable_seeds = true,
        other => {
            return Err(Failure::new(format!("KASMINA_DISABLE_SEEDS is `{other}`; it must be 1 or 0")));
        }
    }
    config.disable_seeds |= args.no_seeds;
    Ok(config)
}

fn print(summary: &Summary, out: &Path) {
    if !summary.seeds.is_empty() {
        let header = ["SEED", "SLOT", "GERMINATED", "FATE", "WORTH", "PARAMETERS"];
        let mut rows = table::table(&header, &["GERMINATED", "WORTH", "PARAMETERS"]);
        for seed in &summary.seeds {
            let fate = match &seed.reason {
                Some(reason) => format!("{} ({reason})", seed.fate),
                None => seed.fate.clone(),
            };
            rows.add_row([
                seed.seed_id.clone(),
                seed.slot.clone(),
                format!("epoch {}", seed.germinated_epoch),
                fate,
                seed.contribution.map_or_else(|| "-".to_owned(), |c| format!("{c:+.2}")),
                seed.parameters.to_string(),
            ]);
        }
        table::print(&rows);
        outln!();
    }
    let ended = match summary.status {
        Status::Interrupted => " (interrupted)",
        _ => "",
    };
    let percent = |a: Option<f64>| a.map_or_else(|| "not measured".to_owned(), |a| format!("{a:.2} %"));
    outln!(
        "accuracy    {}, best {}",
        percent(summary.final_val_accuracy),
        percent(summary.best_val_accuracy)
    );
    outln!("parameters  {} in the host, {} with its seeds", summary.host_params, summary.total_params);
    let switch = if summary.seeds_disabled { " (switched off)" } else { "" };
    outln!(
        "seeds       {} germinated, {} fossilized, {} pruned{switch}",
        summary.germinated,
        summary.fossilized,
        summary.pruned
    );
    outln!(
        "training    {} epochs{ended} on {}, {:.0} steps/s, {:.1} s",
        summary.epochs,
        summary.device,
        summary.steps_per_second,
        summary.wall_seconds
    );
    outln!("run         {}", out.display());
}
