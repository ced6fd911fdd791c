//! Command-line arguments of `kasmina train`.

use crate::network_args::DataArgs;
use crate::plugins::args::Access;
use clap::Args;
use std::path::PathBuf;

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
        "seed", "device", "precision", "no_capture", "no_seeds", "no_checkpoints", "on_nonfinite", "init_from",
        "freeze_host",
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

/// Arguments about the weights that the host begins with.
#[derive(Debug, Args)]
pub(crate) struct InitArgs {
    /// Begin with these weights of the host instead of random ones: a safetensors file, a run directory, a
    /// checkpoint, or an export.
    #[arg(long, value_name = "PATH")]
    pub(crate) init_from: Option<PathBuf>,
    /// With --init-from: the library whose names the file uses [default: those of the host].
    #[arg(long, value_enum, requires = "init_from")]
    pub(crate) names: Option<NamesArg>,
    /// With --init-from: leave weights random that are missing or have another shape.
    #[arg(long, requires = "init_from")]
    pub(crate) allow_partial: bool,
    /// Train the seeds alone. The weights of the host stay as they are.
    #[arg(long)]
    pub(crate) freeze_host: bool,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(crate) enum NamesArg {
    /// GPT-2 of transformers, for the host `transformer`.
    Gpt2,
    /// The residual networks of torchvision, for the host `resnet`.
    Torchvision,
}

impl From<NamesArg> for kasmina_trainer::config::WeightNames {
    fn from(arg: NamesArg) -> Self {
        match arg {
            NamesArg::Gpt2 => Self::Gpt2,
            NamesArg::Torchvision => Self::Torchvision,
        }
    }
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
    #[command(flatten)]
    pub(crate) data: DataArgs,
    /// The host network [default: cnn for images, transformer for sequences].
    #[arg(long, value_name = "ID")]
    pub(crate) host: Option<String>,
    #[command(flatten)]
    pub(crate) init: InitArgs,
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
