//! Arguments of the commands that use a trained network.

use crate::failure::Failure;
use crate::plugins::args::Access;
use clap::Args;
use kasmina_export::Source;
use kasmina_registry::{Policy, Registry};
use kasmina_trainer::device;
use kasmina_trainer::run::Choice;
use std::path::{Path, PathBuf};
use tch::Device;

/// Which plugins a trained network may use.
#[derive(Debug, Args)]
pub(crate) struct PluginsOfNetwork {
    /// Trust the copies of plugins in the run directory, or the TorchScript module of the export, wherever
    /// they come from.
    #[arg(long)]
    pub(crate) trust_run: bool,
    #[command(flatten)]
    pub(crate) access: Access,
}

impl PluginsOfNetwork {
    /// Loads the plugins; `run` is the run directory whose copies may be used.
    pub(crate) fn load(&self, run: Option<&Path>) -> Result<Registry, Failure> {
        let policy = self.access.policy().trusting_run(self.trust_run);
        let policy = run.into_iter().fold(policy, Policy::keeping_copies);
        Ok(Registry::load(&self.access.search(), &policy)?)
    }
}

/// Where the data of a task are.
#[derive(Debug, Args)]
pub(crate) struct DataArgs {
    /// The folder with the files of the task, for cifar10, cifar100, mnist and fashion_mnist.
    #[arg(long, value_name = "DIR", env = "KASMINA_DATA_DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// The text file of the task chars. Its last tenth is the validation data.
    #[arg(long, value_name = "FILE")]
    pub(crate) text: Option<PathBuf>,
}

/// Where a trained network is found, and the device that computes it.
#[derive(Debug, Args)]
pub(crate) struct NetworkArgs {
    /// A run directory, the folder of a checkpoint, or an export.
    pub(crate) path: PathBuf,
    /// Which checkpoint of a run: `last`, `best`, or the number of an epoch.
    #[arg(long, value_name = "CHECKPOINT", default_value = "last")]
    pub(crate) checkpoint: Choice,
    /// The host of an adapter: a run directory, a checkpoint, an export or a safetensors file.
    #[arg(long, value_name = "HOST", conflicts_with = "checkpoint")]
    pub(crate) onto: Option<PathBuf>,
    /// The device: auto, cpu or cuda:N.
    #[arg(long, default_value = "auto")]
    pub(crate) device: String,
    #[command(flatten)]
    pub(crate) plugins: PluginsOfNetwork,
}

impl NetworkArgs {
    /// Reads the network, loads the plugins and finds the device.
    pub(crate) fn open(&self) -> Result<(Source, Registry, Device), Failure> {
        let source = match &self.onto {
            None => Source::open(&self.path, self.checkpoint)?,
            Some(host) => Source::open_onto(&self.path, host)?,
        };
        let device = device::resolve(&self.device)?;
        let registry = self.plugins.load(source.run())?;
        Ok((source, registry, device))
    }
}

#[derive(Debug, Args)]
pub(crate) struct EvalArgs {
    #[command(flatten)]
    pub(crate) network: NetworkArgs,
    /// The task whose validation data are used [default: that of the network].
    #[arg(long)]
    pub(crate) task: Option<String>,
    #[command(flatten)]
    pub(crate) data: DataArgs,
    /// Print JSON instead of text.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct PredictArgs {
    #[command(flatten)]
    pub(crate) network: NetworkArgs,
    /// PNG, JPEG or WebP files of the size that the network reads.
    #[arg(long, value_name = "FILE", num_args = 1.., required = true)]
    pub(crate) input: Vec<PathBuf>,
    /// Number of classes to show for each picture.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) top: u32,
    /// Print one line of JSON per picture instead of a table.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct GenerateArgs {
    #[command(flatten)]
    pub(crate) network: NetworkArgs,
    /// The text to continue.
    #[arg(long, value_name = "TEXT")]
    pub(crate) prompt: String,
    /// Number of new tokens [default: the rest of a sequence of the training data].
    #[arg(long, value_name = "N")]
    pub(crate) max_tokens: Option<u32>,
    /// Divisor of the logits. 0 always chooses the most probable token; above 1 the text is more varied.
    #[arg(long, value_name = "T", default_value_t = 1.0, allow_negative_numbers = true)]
    pub(crate) temperature: f64,
    /// Draw only from the K most probable tokens [default: all].
    #[arg(long, value_name = "K", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) top_k: Option<u32>,
    /// The seed of the random draws.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
    /// The type of the weights.
    #[arg(long, value_name = "TYPE", value_enum, default_value = "fp32")]
    pub(crate) dtype: DtypeArg,
    /// Print JSON instead of text.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum DtypeArg {
    /// float32.
    Fp32,
    /// bfloat16.
    Bf16,
}

impl From<DtypeArg> for tch::Kind {
    fn from(arg: DtypeArg) -> Self {
        match arg {
            DtypeArg::Fp32 => Self::Float,
            DtypeArg::Bf16 => Self::BFloat16,
        }
    }
}
