//! `kasmina train`.

use crate::args::TrainArgs;
use crate::failure::Failure;
use crate::progress::Progress;
use crate::signals::{self, STOP};
use crate::table;
use crate::terminal;
use indicatif::MultiProgress;
use kasmina_registry::{Registry, SearchPath};
use kasmina_trainer::run::{Opened, ResumeOptions, Resumption, Status};
use kasmina_trainer::{Layers, RunConfig, Summary, Trainer};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

pub(crate) fn run(args: TrainArgs, screen: &MultiProgress) -> Result<ExitCode, Failure> {
    let (json, requeue, watch) = (args.json, args.saving.requeue_exit_0, args.watch.clone());
    let policy = match &watch {
        None => args.access.policy(),
        Some(files) if files.is_empty() => args.access.policy().watching_loaded(true),
        Some(files) => args.access.policy().watching(files.iter().cloned()),
    };
    let (start, policy) = match args.resume.resume.clone() {
        None => (Start::of(args)?, policy),
        Some(run) => match open(&args, run)? {
            Resumption::Finished { epochs, checkpoint } => {
                errln!(
                    "the run is finished: {epochs} epochs, saved in {}; --epochs N extends it",
                    checkpoint.display()
                );
                return Ok(ExitCode::SUCCESS);
            }
            Resumption::Ready(opened) => {
                let policy = policy.keeping_copies(opened.run()).trusting_run(args.resume.trust_run);
                (Start::Resumed { opened, plugin_path: args.access.plugin_path }, policy)
            }
        },
    };
    let out = start.out();
    // What a run has kept is looked for again when it goes back to a checkpoint.
    let policy = policy.keeping_copies(&out);
    let registry = Registry::load(&SearchPath::standard(&start.plugin_path()), &policy)?;
    let mut trainer = start.prepare(&registry)?;
    if let Some(files) = watch {
        trainer = trainer.watching(files);
    }
    signals::listen()?;

    let mut progress = Progress::new(screen, trainer.config().epochs);
    let result = trainer.run(Some(&out), &mut progress, &STOP);
    progress.finish();
    let summary = result?;
    if json {
        terminal::out_json(&summary)?;
    } else {
        print(&summary, &out);
    }
    Ok(if summary.status == Status::Interrupted { signals::exit_code(requeue) } else { ExitCode::SUCCESS })
}

/// What a run begins with.
enum Start {
    New { config: Box<RunConfig>, out: PathBuf },
    Resumed { opened: Box<Opened>, plugin_path: Vec<PathBuf> },
}

impl Start {
    fn of(args: TrainArgs) -> Result<Self, Failure> {
        let out = args.out.clone();
        let config = Box::new(configure(args)?);
        Ok(Self::New { out: out.unwrap_or_else(|| default_out(&config)), config })
    }

    /// Where plugins are searched first.
    fn plugin_path(&self) -> Vec<PathBuf> {
        match self {
            Self::New { config, .. } => config.plugin_path.clone(),
            // The run keeps copies of what it has used; its own settings name no place that is searched.
            Self::Resumed { plugin_path, .. } => plugin_path.clone(),
        }
    }

    /// Directory that the run writes into.
    fn out(&self) -> PathBuf {
        match self {
            Self::New { out, .. } => out.clone(),
            Self::Resumed { opened, .. } => opened.target().to_owned(),
        }
    }

    fn prepare(self, registry: &Registry) -> Result<Trainer<'_>, Failure> {
        match self {
            Self::New { config, .. } => Ok(Trainer::prepare(*config, registry)?),
            Self::Resumed { opened, .. } => {
                let (epoch, step) = opened.done();
                let trainer = Trainer::resume(*opened, registry)?;
                errln!("going on after epoch {epoch}, step {step}");
                Ok(trainer)
            }
        }
    }
}

/// Opens a run that is to go on.
fn open(args: &TrainArgs, run: PathBuf) -> Result<Resumption, Failure> {
    if switched_off()? {
        return Err(Failure::new("KASMINA_DISABLE_SEEDS is set, and a run that goes on keeps its seeds")
            .with_help("unset it, or begin a new run"));
    }
    let options = ResumeOptions {
        follow_links: args.resume.trust_run,
        run,
        epochs: args.epochs,
        overrides: args.resume.overrides.clone(),
        from: args.resume.from,
        out: args.out.clone(),
    };
    Ok(Opened::open(&options)?)
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
    set(&mut config.on_nonfinite, args.saving.on_nonfinite.map(Into::into));
    if args.saving.no_checkpoints {
        config.checkpoint.enabled = false;
    }
    if args.no_capture {
        config.compute.capture = false;
    }
    config.disable_seeds |= switched_off()?;
    config.disable_seeds |= args.no_seeds;
    Ok(config)
}

/// Whether the environment's rollback switch is on.
fn switched_off() -> Result<bool, Failure> {
    match std::env::var("KASMINA_DISABLE_SEEDS").unwrap_or_default().as_str() {
        "" | "0" | "false" => Ok(false),
        "1" | "true" => Ok(true),
        other => Err(Failure::new(format!("KASMINA_DISABLE_SEEDS is `{other}`; it must be 1 or 0"))),
    }
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
    if summary.status != Status::Completed {
        outln!("resume      kasmina train --resume {}", out.display());
    }
}
