//! `kasmina train`.

use crate::failure::Failure;
use crate::progress::Progress;
use crate::ranks::{RankOutput, Ranks};
use crate::signals::{self, STOP};
use crate::table;
use crate::terminal;
use crate::train_args::TrainArgs;
use indicatif::MultiProgress;
use kasmina_registry::{Registry, SearchPath};
use kasmina_trainer::run::{Opened, Place, ResumeOptions, Resumption, Status};
use kasmina_trainer::{Layers, RunConfig, Summary, TrainError, Trainer};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

pub(crate) fn run(args: TrainArgs, screen: &MultiProgress) -> Result<ExitCode, Failure> {
    let mut ranks = Ranks::from_environment()?;
    let output = RankOutput::redirect(&ranks.world).map_err(Failure::new)?;
    let result = train(args, screen, &mut ranks, output);
    if let (Err(failure), true) = (&result, ranks.link().is_some()) {
        // Exits without destructors: threads of the transport may wait for a rank that is lost.
        failure.print();
        signal_hook::low_level::exit(1);
    }
    result
}

fn train(
    mut args: TrainArgs,
    screen: &MultiProgress,
    ranks: &mut Ranks,
    output: Option<RankOutput>,
) -> Result<ExitCode, Failure> {
    let (json, requeue, watch) = (args.json, args.saving.requeue_exit_0, args.watch.clone());
    let policy = match &watch {
        None => args.access.policy(),
        Some(files) if files.is_empty() => args.access.policy().watching_loaded(true),
        Some(files) => args.access.policy().watching(files.iter().cloned()),
    };
    resume_after_restart(&mut args, ranks);
    let (mut start, policy) = match args.resume.resume.clone() {
        None => (Start::of(args)?, policy),
        Some(run) => match open(&args, run, ranks)? {
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
    ranks.join(start.config().ranks.limit_seconds)?;
    let joined = &*ranks;
    let out = start.on_rank(joined).map_err(|error| joined.failed(error))?;
    // A run that returns to a checkpoint loads the plugins that it has copied into its directory.
    let policy = policy.keeping_copies(&out);
    let registry =
        Registry::load(&SearchPath::standard(&start.plugin_path()), &policy).map_err(|e| joined.failed(e))?;
    let mut trainer = start.prepare(&registry).map_err(|error| joined.failed(error))?;
    if let Some(files) = watch {
        trainer = trainer.watching(files);
    }
    if let Some(link) = joined.link() {
        trainer = trainer.on_ranks(link, Some(&out)).map_err(|error| joined.failed(error))?;
    }
    // All ranks make the same steps, so no plugin may end one alone.
    signals::listen(joined.link().is_none())?;

    let several_ranks = joined.link().is_some();
    let mut progress = Progress::new(screen, trainer.config().epochs, output);
    let result = trainer.run(Some(&out), &mut progress, &STOP);
    progress.finish();
    let summary = result?;
    if json {
        terminal::out_json(&summary)?;
    } else {
        print(&summary, &out);
    }
    Ok(if summary.status == Status::Interrupted {
        signals::exit_code(requeue, several_ranks)
    } else {
        ExitCode::SUCCESS
    })
}

/// Resumes the run in the directory of `--out` if a launcher has started the ranks again.
fn resume_after_restart(args: &mut TrainArgs, ranks: &Ranks) {
    let Some(out) = args.out.as_ref().filter(|_| ranks.world.restarts > 0 && args.resume.resume.is_none())
    else {
        return;
    };
    if kasmina_trainer::run::has_checkpoints(out) {
        args.resume.resume = args.out.take();
    }
}

/// A new or a resumed run, before its plugins are loaded.
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

    fn config(&self) -> &RunConfig {
        match self {
            Self::New { config, .. } => config,
            Self::Resumed { opened, .. } => opened.config(),
        }
    }

    /// Chooses the device of this rank, and returns the directory that rank 0 writes into.
    fn on_rank(&mut self, ranks: &Ranks) -> Result<PathBuf, TrainError> {
        if ranks.world.size > 1 {
            match self {
                Self::New { config, out } => {
                    config.device = ranks.device(&config.device)?;
                    *out = ranks.directory(out.clone())?;
                }
                Self::Resumed { opened, .. } => opened.set_device(ranks.device(opened.device_of_ranks())?),
            }
        }
        Ok(self.out())
    }

    /// Returns the paths that are searched for plugins first.
    fn plugin_path(&self) -> Vec<PathBuf> {
        match self {
            Self::New { config, .. } => config.plugin_path.clone(),
            // The run directory contains copies of the plugins; the paths in the run's settings are not
            // searched.
            Self::Resumed { plugin_path, .. } => plugin_path.clone(),
        }
    }

    /// Returns the directory that the run writes into.
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
                errln!("resuming after epoch {epoch}, step {step}");
                Ok(trainer)
            }
        }
    }
}

/// Opens a run that is to be resumed.
fn open(args: &TrainArgs, run: PathBuf, ranks: &Ranks) -> Result<Resumption, Failure> {
    if seeds_disabled_by_environment()? {
        return Err(Failure::new("KASMINA_DISABLE_SEEDS is set, but a resumed run keeps its seeds")
            .with_help("unset it, or start a new run"));
    }
    let options = ResumeOptions {
        follow_links: args.resume.trust_run,
        run,
        epochs: args.epochs,
        overrides: args.resume.overrides.clone(),
        from: args.resume.from,
        out: args.out.clone(),
        place: Place { rank: ranks.world.rank, size: ranks.world.size },
    };
    Ok(Opened::open(&options)?)
}

fn default_out(config: &RunConfig) -> PathBuf {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    let name = format!("{}-seed{}-{seconds}-{}", config.task, config.seed, std::process::id());
    PathBuf::from("runs").join(name)
}

/// Builds the configuration: the file, then the arguments, then `KASMINA_DISABLE_SEEDS`.
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
    // Absolute, because the run may be resumed from another working directory.
    let absolute = |p: PathBuf| std::path::absolute(&p).unwrap_or(p);
    config.plugin_path.splice(0..0, args.access.plugin_path.into_iter().map(absolute));
    config.data.dir = args.data.data_dir.or(config.data.dir).map(absolute);
    config.data.text = args.data.text.or(config.data.text).map(absolute);
    config.host.frozen |= args.init.freeze_host;
    if let Some(path) = args.init.init_from {
        config.init.from = Some(absolute(path));
        set(&mut config.init.names, args.init.names.map(Into::into));
        config.init.allow_partial |= args.init.allow_partial;
    }
    set(&mut config.slots, args.slots);
    set(&mut config.max_seeds, args.max_seeds);
    if let Some(controller) = &args.controller {
        // Only the scripted controller reads the script of the file.
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
    config.disable_seeds |= seeds_disabled_by_environment()?;
    config.disable_seeds |= args.no_seeds;
    Ok(config)
}

/// Whether `KASMINA_DISABLE_SEEDS` disables all seeds.
fn seeds_disabled_by_environment() -> Result<bool, Failure> {
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
