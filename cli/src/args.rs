//! Command-line arguments.

use crate::compare::task::Task;
use crate::network_args::{DtypeArg, EvalArgs, GenerateArgs, PluginsOfNetwork, PredictArgs};
use crate::plugins::args::{Access, PluginsArgs};
use crate::ranks::launch::LaunchArgs;
use crate::train_args::TrainArgs;
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
    /// Start a command on several ranks of this machine, which train one network together.
    Launch(LaunchArgs),
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
    /// Number of runs at a time [default: the number of cores divided by the threads of a run; on GPUs, one
    /// on each].
    #[arg(long, value_name = "N")]
    pub(crate) jobs: Option<NonZeroUsize>,
    /// Run only a part of the runs: task N of M, which share the folder of --out. Every task waits for the
    /// others; task 1 writes the report. For a Slurm array: --task-of
    /// $SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT.
    #[arg(long, value_name = "N/M", requires = "out")]
    pub(crate) task_of: Option<Task>,
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
    /// Fold seeds that are linear in each position into the layers beside them. All of them or none.
    #[arg(long)]
    pub(crate) fold: bool,
    /// Write the seeds alone, for the host that they were trained on; for PEFT if all of them are
    /// `lora` and the host has a PyTorch source.
    #[arg(long, conflicts_with_all = ["format", "fold"])]
    pub(crate) adapter: bool,
    /// The type of the weights [default: as they were trained].
    #[arg(long, value_name = "TYPE", value_enum)]
    pub(crate) dtype: Option<DtypeArg>,
    /// Which checkpoint of the run: `last`, `best`, or the number of an epoch.
    #[arg(long, value_name = "CHECKPOINT", default_value = "last")]
    pub(crate) checkpoint: Choice,
    #[command(flatten)]
    pub(crate) plugins: PluginsOfNetwork,
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
