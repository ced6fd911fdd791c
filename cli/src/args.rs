//! Command-line arguments.

use crate::plugins::args::{Access, PluginsArgs};
use crate::use_args::{DtypeArg, EvalArgs, GenerateArgs, PredictArgs};
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
    /// Compare a run that grows with its control runs, over several random seeds, each at its best learning
    /// rate.
    Compare(CompareArgs),
    /// List, verify or prune the checkpoints of a run.
    Checkpoints(CheckpointsArgs),
    /// Control a live run: report its status, pause, resume, prune a seed, stop.
    Control(ControlArgs),
    /// Evaluate a trained network on validation data, as its run did.
    Eval(EvalArgs),
    /// Classify pictures with a trained network.
    Predict(PredictArgs),
    /// Continue a text with a trained network.
    Generate(GenerateArgs),
    /// Write a trained network for PyTorch and transformers, as TorchScript, or as weights alone.
    Export(ExportArgs),
    /// List, check, trust, sign and create plugins.
    Plugins(PluginsArgs),
    /// Run the lifecycle of one slot from a script, without tensors.
    Simulate(SimulateArgs),
    /// Repeat the decisions of a recorded run, optionally with other thresholds.
    Replay(ReplayArgs),
    /// Explain why the slots of a run are in their stages.
    Explain(ExplainArgs),
    /// Print the JSON Schema of a file that Kasmina reads or writes.
    Schema(SchemaArgs),
}

#[derive(Debug, Args)]
pub(crate) struct CompareArgs {
    /// A TOML file: `seeds`, `tuning_seeds`, `rates`, and under [run] the settings of the run that grows. See
    /// examples/compare.
    pub(crate) config: PathBuf,
    /// Use the random seeds 1 to N [default: `seeds` of the file].
    #[arg(long, value_name = "N")]
    pub(crate) seeds: Option<u32>,
    /// Number of runs at a time [default: the number of cores divided by the threads of a run; 1 on a GPU].
    #[arg(long, value_name = "N")]
    pub(crate) jobs: Option<NonZeroUsize>,
    /// The folder for the runs, the numbers and the plot. Completed runs in it are not repeated [default: a
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
    /// Print epoch, step, slots and plugin builds as JSON.
    Status,
    /// Pause before the next training step.
    Pause,
    /// Continue after a pause.
    Resume,
    /// Remove the seed of a slot at the end of the epoch.
    Prune {
        /// The slot, by name or alias.
        slot: String,
    },
    /// Stop after the current training step.
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
    /// The format [default: pytorch, or torchscript if a part of the network has no PyTorch source].
    #[arg(long, value_enum)]
    pub(crate) format: Option<FormatArg>,
    /// The type of the weights [default: as they were trained].
    #[arg(long, value_name = "TYPE", value_enum)]
    pub(crate) dtype: Option<DtypeArg>,
    /// Which checkpoint of the run: `last`, `best`, or the number of an epoch.
    #[arg(long, value_name = "CHECKPOINT", default_value = "last")]
    pub(crate) checkpoint: Choice,
    /// Trust the copies of plugins in the run directory, wherever it comes from.
    #[arg(long)]
    pub(crate) trust_run: bool,
    #[command(flatten)]
    pub(crate) access: Access,
    /// Print JSON instead of text.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(crate) enum FormatArg {
    /// A Hugging Face folder with the network as plain PyTorch.
    Pytorch,
    /// A TorchScript archive, which runs without Python.
    Torchscript,
    /// The weights alone, under the names of the host.
    Safetensors,
}

impl From<FormatArg> for kasmina_export::Format {
    fn from(arg: FormatArg) -> Self {
        match arg {
            FormatArg::Pytorch => Self::PyTorch,
            FormatArg::Torchscript => Self::TorchScript,
            FormatArg::Safetensors => Self::Safetensors,
        }
    }
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
    /// Check the size and hash of every file. Exits with 1 if a checkpoint is incomplete or damaged.
    Verify {
        /// Directory of the run.
        #[arg(value_name = "RUN_DIR")]
        run: PathBuf,
        /// Print JSON instead of a table.
        #[arg(long)]
        json: bool,
    },
    /// Remove all checkpoints except the newest.
    Prune {
        /// Directory of the run.
        #[arg(value_name = "RUN_DIR")]
        run: PathBuf,
        /// Number of newest checkpoints to keep.
        #[arg(long, value_name = "N", default_value = "1")]
        keep: NonZeroUsize,
        /// Also remove the checkpoint with the best validation score, if it is not among the newest.
        #[arg(long)]
        without_best: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct SimulateArgs {
    /// The script, a JSON file. See examples/scripts.
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
    /// A TOML file with other thresholds. Missing ones are those of the run.
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
    /// The slot, by name or alias [default: all].
    pub(crate) slot: Option<String>,
    /// Print JSON instead of text.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct SchemaArgs {
    /// The file that the schema describes.
    pub(crate) of: SchemaOf,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(crate) enum SchemaOf {
    /// The thresholds of the quality gates, as `replay --gates` reads them.
    Gates,
    /// The configuration of a run, as `train --config` reads it.
    Run,
    /// The configuration of a comparison, as `compare` reads it.
    Compare,
    /// The lines of events.jsonl (without their epoch).
    Events,
    /// The commands of commands.jsonl and of scripts (without their epoch).
    Commands,
    /// The lines of `metrics.jsonl`.
    Metrics,
    /// The lines of commands.jsonl, with the outcome of each command.
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
    /// Convolutions and matrix products in bfloat16 (libtorch's autocast), parameters in float32.
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

/// Arguments that resume a run.
#[derive(Debug, Args)]
pub(crate) struct ResumeArgs {
    /// Resume the run of this directory from its newest intact checkpoint, with the settings of that run;
    /// `--epochs` extends it.
    #[arg(long, value_name = "RUN_DIR", conflicts_with_all = [
        "config", "task", "text", "host", "slots", "max_seeds", "blueprint", "blend_algorithm", "controller", "script",
        "seed", "device", "precision", "no_capture", "no_seeds", "no_checkpoints", "on_nonfinite",
    ])]
    pub(crate) resume: Option<PathBuf>,
    /// With --resume: change a setting from now on, for example optimizer.batch_size=32. May be given several
    /// times. The results then differ from those of the original run.
    #[arg(long = "override", value_name = "KEY=VALUE", requires = "resume")]
    pub(crate) overrides: Vec<String>,
    /// With --resume and --out: start a branch in a new directory from the end of this epoch. The original
    /// run is not changed.
    #[arg(long, value_name = "EPOCH", requires_all = ["resume", "out"])]
    pub(crate) from: Option<u32>,
    /// With --resume: trust the run directory: its copies of plugins, even builds that you have never run,
    /// and its folders, even if they are links to other places.
    #[arg(long, requires = "resume")]
    pub(crate) trust_run: bool,
}

/// Arguments about checkpoints, the exit code, and values that are not finite.
#[derive(Debug, Args)]
pub(crate) struct SavingArgs {
    /// Write no checkpoints. The run cannot be resumed, and its weights are lost when it ends.
    #[arg(long)]
    pub(crate) no_checkpoints: bool,
    /// Exit with 0 when a signal ends the run, for schedulers that then restart it.
    #[arg(long = "requeue-exit-0")]
    pub(crate) requeue_exit_0: bool,
    /// What to do when the host's values become NaN or infinite: return to the last checkpoint once, or stop
    /// [default: rollback].
    #[arg(long, value_name = "WHAT", value_enum)]
    pub(crate) on_nonfinite: Option<OnNonFiniteArg>,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(crate) enum OnNonFiniteArg {
    /// Return to the last intact checkpoint before that epoch; stop if it happens again.
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

/// Arguments of `kasmina train`. Settings that are not given come from `--config`, then from the defaults.
#[derive(Debug, Args)]
#[command(args_override_self = true)]
pub(crate) struct TrainArgs {
    /// A TOML file with any of the settings of a run's config.toml.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// The task: digits, cifar10, cifar100, mnist, fashion_mnist, chars or addition [default: digits].
    #[arg(long)]
    pub(crate) task: Option<String>,
    /// The folder with the files of the task, for cifar10, cifar100, mnist and fashion_mnist.
    #[arg(long, value_name = "DIR", env = "KASMINA_DATA_DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// The text file that the task chars trains on.
    #[arg(long, value_name = "FILE")]
    pub(crate) text: Option<PathBuf>,
    /// The host network [default: cnn for images, transformer for sequences].
    #[arg(long, value_name = "ID")]
    pub(crate) host: Option<String>,
    /// Slots to grow in, by name or alias [default: early,mid,late].
    #[arg(long, value_delimiter = ',', num_args = 1..)]
    pub(crate) slots: Option<Vec<String>>,
    /// Maximum number of occupied slots, including slots with fossilized seeds [default: 3].
    #[arg(long, value_name = "N")]
    pub(crate) max_seeds: Option<u32>,
    /// The blueprint of the seeds [default: conv_light for images, mlp for sequences].
    #[arg(long, value_name = "ID")]
    pub(crate) blueprint: Option<String>,
    /// The blend algorithm [default: linear].
    #[arg(long, value_name = "ID")]
    pub(crate) blend_algorithm: Option<String>,
    /// The controller that decides when to grow: periodic, heuristic, scripted or none [default: periodic].
    #[arg(long, value_name = "ID")]
    pub(crate) controller: Option<String>,
    /// The commands that the scripted controller repeats: commands.jsonl of a run.
    #[arg(long, value_name = "FILE")]
    pub(crate) script: Option<PathBuf>,
    /// Number of epochs [default: that of the task].
    #[arg(long, value_name = "N")]
    pub(crate) epochs: Option<u32>,
    /// The seed of all random numbers of the run [default: 1].
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// The device: auto, cpu or cuda:N [default: auto].
    #[arg(long)]
    pub(crate) device: Option<String>,
    /// The precision of convolutions and matrix products: fp32 or bf16 [default: fp32].
    #[arg(long, value_name = "KIND", value_enum)]
    pub(crate) precision: Option<PrecisionArg>,
    /// On a GPU, do not capture training steps as CUDA graphs; launch every operation separately.
    #[arg(long)]
    pub(crate) no_capture: bool,
    #[command(flatten)]
    pub(crate) access: Access,
    /// Swap in new builds of plugins while the run is live, when their files change: of the given files, or
    /// of all loaded plugins if none is given. These files are trusted for this run.
    #[arg(long, value_name = "FILE", num_args = 0.., value_delimiter = ',')]
    pub(crate) watch: Option<Vec<PathBuf>>,
    /// The run directory [default: a new one under runs/].
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) resume: ResumeArgs,
    #[command(flatten)]
    pub(crate) saving: SavingArgs,
    /// Train the host alone, with bit for bit the results of a run without slots.
    #[arg(long)]
    pub(crate) no_seeds: bool,
    /// Print the summary as JSON instead of tables.
    #[arg(long)]
    pub(crate) json: bool,
}
