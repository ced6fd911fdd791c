//! What can be typed.

use crate::plugins::args::{Access, PluginsArgs};
use clap::{Args, Parser, Subcommand};
use kasmina_trainer::run::Choice;
use std::num::NonZeroUsize;
use std::path::PathBuf;

/// Grows neural networks while they train.
#[derive(Debug, Parser)]
#[command(name = "kasmina", version, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Train a host network and grow it as it trains.
    Train(Box<TrainArgs>),
    /// See whether growing pays: a run beside its controls, over several seeds, each at its own best learning
    /// rate.
    Compare(CompareArgs),
    /// Look at the checkpoints of a run, check them, remove old ones.
    Checkpoints(CheckpointsArgs),
    /// Ask a run that is live: where it stands, to wait, to go on, to prune, to end.
    Control(ControlArgs),
    /// Write a trained network as a folder for PyTorch and transformers.
    Export(ExportArgs),
    /// Look at plugins, check them, decide on them, and write new ones.
    Plugins(PluginsArgs),
    /// Drive the lifecycle of one slot by a script, without tensors.
    Simulate(SimulateArgs),
    /// Decide a recorded run again, perhaps under other thresholds.
    Replay(ReplayArgs),
    /// Say why the slots of a run are where they are.
    Explain(ExplainArgs),
    /// Print the JSON Schema of a file that Kasmina reads or writes.
    Schema(SchemaArgs),
}

#[derive(Debug, Args)]
pub(crate) struct CompareArgs {
    /// A TOML file: `seeds`, `tuning_seeds`, `rates`, and under [run] the settings of the run that grows;
    /// examples/compare has some.
    pub(crate) config: PathBuf,
    /// Compare the seeds 1 to N [default: the file's].
    #[arg(long, value_name = "N")]
    pub(crate) seeds: Option<u32>,
    /// How many runs at a time [default: as many as there are cores, one on a GPU].
    #[arg(long, value_name = "N")]
    pub(crate) jobs: Option<NonZeroUsize>,
    /// Where the runs, the numbers and the plot go; runs that are there already are not run again [default: a
    /// folder under runs/ named after the file].
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) access: Access,
    /// Print everything as JSON instead of a table.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ControlArgs {
    /// Directory of the run.
    #[arg(value_name = "RUN_DIR")]
    pub(crate) run: PathBuf,
    #[command(subcommand)]
    pub(crate) verb: ControlVerb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ControlVerb {
    /// Where it stands: epoch, step, slots, and the builds that are in it. As JSON.
    Status,
    /// Wait before the next step.
    Pause,
    /// Go on after a pause.
    Resume,
    /// Remove the seed of a slot at the end of the epoch.
    Prune {
        /// The slot, by name or alias.
        slot: String,
    },
    /// End cleanly after this step.
    Stop,
}

#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// A run directory, or the folder of a checkpoint.
    #[arg(value_name = "RUN_DIR|CHECKPOINT")]
    pub(crate) path: PathBuf,
    /// The folder to write. It must not exist.
    #[arg(long, value_name = "DIR")]
    pub(crate) to: PathBuf,
    /// Which checkpoint of the run: `last`, `best`, or the number of an epoch.
    #[arg(long, value_name = "CHECKPOINT", default_value = "last")]
    pub(crate) checkpoint: Choice,
    /// Use the plugins that the run directory contains, wherever it comes from.
    #[arg(long)]
    pub(crate) trust_run: bool,
    #[command(flatten)]
    pub(crate) access: Access,
    /// Print JSON instead of text.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct CheckpointsArgs {
    #[command(subcommand)]
    pub(crate) verb: CheckpointsVerb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum CheckpointsVerb {
    /// List the checkpoints, oldest first.
    List {
        /// Directory of the run.
        #[arg(value_name = "RUN_DIR")]
        run: PathBuf,
        /// Print JSON instead of a table.
        #[arg(long)]
        json: bool,
    },
    /// Check the size and hash of every file. Exits with 1 if a checkpoint is not whole.
    Verify {
        /// Directory of the run.
        #[arg(value_name = "RUN_DIR")]
        run: PathBuf,
        /// Print JSON instead of a table.
        #[arg(long)]
        json: bool,
    },
    /// Remove all but the newest ones.
    Prune {
        /// Directory of the run.
        #[arg(value_name = "RUN_DIR")]
        run: PathBuf,
        /// How many of the newest stay.
        #[arg(long, value_name = "N", default_value = "1")]
        keep: NonZeroUsize,
        /// Remove the one with the best validation score too, if it is not among the newest.
        #[arg(long)]
        without_best: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct SimulateArgs {
    /// The script, as JSON; examples/scripts has some.
    pub(crate) script: PathBuf,
    /// Print one line of JSON per operation instead of a table.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ReplayArgs {
    /// Directory of the run.
    #[arg(value_name = "RUN_DIR")]
    pub(crate) run: PathBuf,
    /// A TOML file with other thresholds; what it does not say is the run's own.
    #[arg(long, value_name = "FILE")]
    pub(crate) gates: Option<PathBuf>,
    /// Print JSON instead of text.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    /// Directory of the run.
    #[arg(value_name = "RUN_DIR")]
    pub(crate) run: PathBuf,
    /// The slot, by name or alias; all if none is named.
    pub(crate) slot: Option<String>,
    /// Print JSON instead of text.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct SchemaArgs {
    /// What the schema is of.
    pub(crate) of: SchemaOf,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(crate) enum SchemaOf {
    /// The thresholds of the quality gates, as `replay --gates` takes them.
    Gates,
    /// The configuration of a run, as `train --config` takes it.
    Run,
    /// A comparison, as `compare` takes it.
    Compare,
    /// The lines of events.jsonl (without their epoch).
    Events,
    /// The commands of commands.jsonl and of scripts (without their epoch).
    Commands,
    /// The lines of `metrics.jsonl`.
    Metrics,
    /// The lines of commands.jsonl, with what came of each command.
    Journal,
    /// The lines of `control.jsonl`.
    Control,
    /// The file `slots.json`.
    Slots,
    /// The file `summary.json`.
    Summary,
    /// A declared blueprint, `*.blueprint.toml`.
    Blueprint,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(crate) enum PrecisionArg {
    /// Parameters and computation in float32.
    Fp32,
    /// bfloat16 where products are summed by the hardware, float32 elsewhere.
    Bf16,
}

impl From<PrecisionArg> for kasmina::model::Precision {
    fn from(arg: PrecisionArg) -> Self {
        match arg {
            PrecisionArg::Fp32 => Self::Fp32,
            PrecisionArg::Bf16 => Self::Bf16,
        }
    }
}

/// Going on with a run.
#[derive(Debug, Args)]
pub(crate) struct ResumeArgs {
    /// Go on with the run of this directory from its newest whole checkpoint. Its settings are its own;
    /// `--epochs` extends it.
    #[arg(long, value_name = "RUN_DIR", conflicts_with_all = [
        "config", "task", "text", "host", "slots", "max_seeds", "blueprint", "blend_algorithm", "controller", "script",
        "seed", "device", "precision", "no_capture", "no_seeds", "no_checkpoints", "on_nonfinite",
    ])]
    pub(crate) resume: Option<PathBuf>,
    /// With --resume: a setting that is another from now on, optimizer.batch_size=32 for instance. May be
    /// given several times. The results are then no longer those of the run as it was begun.
    #[arg(long = "override", value_name = "KEY=VALUE", requires = "resume")]
    pub(crate) overrides: Vec<String>,
    /// With --resume and --out: begin a branch in a new directory at the end of this epoch; the run stays as
    /// it is.
    #[arg(long, value_name = "EPOCH", requires_all = ["resume", "out"])]
    pub(crate) from: Option<u32>,
    /// With --resume: trust the run directory: its own copies of plugins, also where you have not run these
    /// bytes before, and its folders, also where they are links to other places.
    #[arg(long, requires = "resume")]
    pub(crate) trust_run: bool,
}

/// Saving a run, and what happens when it cannot go on.
#[derive(Debug, Args)]
pub(crate) struct SavingArgs {
    /// Save nothing; the run cannot be resumed, and its weights are gone when it ends.
    #[arg(long)]
    pub(crate) no_checkpoints: bool,
    /// Exit with 0 when a signal ends the run, for schedulers that start it again.
    #[arg(long = "requeue-exit-0")]
    pub(crate) requeue_exit_0: bool,
    /// When the host's numbers become NaN or infinite: go back to the last checkpoint once, or stop [default:
    /// rollback].
    #[arg(long, value_name = "WHAT", value_enum)]
    pub(crate) on_nonfinite: Option<OnNonFiniteArg>,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(crate) enum OnNonFiniteArg {
    /// Go back to the last whole checkpoint from before that epoch; the second time, stop.
    Rollback,
    /// End the run with an error.
    Stop,
}

impl From<OnNonFiniteArg> for kasmina_trainer::config::OnNonFinite {
    fn from(arg: OnNonFiniteArg) -> Self {
        match arg {
            OnNonFiniteArg::Rollback => Self::Rollback,
            OnNonFiniteArg::Stop => Self::Stop,
        }
    }
}

/// What is not said here comes from `--config`, and from the defaults after that.
#[derive(Debug, Args)]
#[command(args_override_self = true)]
pub(crate) struct TrainArgs {
    /// A TOML file with any of the settings that a run's config.toml holds.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// What to learn: digits, cifar10, cifar100, mnist, fashion_mnist, chars or addition [default: digits].
    #[arg(long)]
    pub(crate) task: Option<String>,
    /// The folder of the task's files: cifar10, cifar100, mnist, fashion_mnist.
    #[arg(long, value_name = "DIR", env = "KASMINA_DATA_DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// The text that the task chars learns.
    #[arg(long, value_name = "FILE")]
    pub(crate) text: Option<PathBuf>,
    /// The host network [default: cnn for images, transformer for sequences].
    #[arg(long, value_name = "ID")]
    pub(crate) host: Option<String>,
    /// Slots to grow in, by name or alias [default: early,mid,late].
    #[arg(long, value_delimiter = ',', num_args = 1..)]
    pub(crate) slots: Option<Vec<String>>,
    /// How many slots may be occupied at a time, fossils included [default: 3].
    #[arg(long, value_name = "N")]
    pub(crate) max_seeds: Option<u32>,
    /// The architecture of the seeds [default: conv_light for images, mlp for sequences].
    #[arg(long, value_name = "ID")]
    pub(crate) blueprint: Option<String>,
    /// How seeds are blended in [default: linear].
    #[arg(long, value_name = "ID")]
    pub(crate) blend_algorithm: Option<String>,
    /// Who decides when to grow: periodic, heuristic, scripted or none [default: periodic].
    #[arg(long, value_name = "ID")]
    pub(crate) controller: Option<String>,
    /// The journal that the scripted controller follows: commands.jsonl of a run.
    #[arg(long, value_name = "FILE")]
    pub(crate) script: Option<PathBuf>,
    /// How long to train [default: the task's].
    #[arg(long, value_name = "N")]
    pub(crate) epochs: Option<u32>,
    /// The seed of every random number of the run [default: 1].
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// auto, cpu or cuda:N [default: auto].
    #[arg(long)]
    pub(crate) device: Option<String>,
    /// What convolutions and matrix products compute in: fp32 or bf16 [default: fp32].
    #[arg(long, value_name = "KIND", value_enum)]
    pub(crate) precision: Option<PrecisionArg>,
    /// On a GPU, ask for every operation by itself instead of replaying recorded steps.
    #[arg(long)]
    pub(crate) no_capture: bool,
    #[command(flatten)]
    pub(crate) access: Access,
    /// Take new builds of the plugins while the run is live, as soon as their files change: of these files,
    /// or of all that are loaded. What lies there is trusted for this run.
    #[arg(long, value_name = "FILE", num_args = 0.., value_delimiter = ',')]
    pub(crate) watch: Option<Vec<PathBuf>>,
    /// The run directory [default: a new one under runs/].
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) resume: ResumeArgs,
    #[command(flatten)]
    pub(crate) saving: SavingArgs,
    /// Train the host alone: bit for bit what a run without slots gives.
    #[arg(long)]
    pub(crate) no_seeds: bool,
    /// Print the summary as JSON instead of tables.
    #[arg(long)]
    pub(crate) json: bool,
}
