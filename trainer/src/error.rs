//! Errors of runs, and of everything that reads run directories.

use kasmina::{CommandError, ModelError};
use kasmina_plugin_api::PluginError;
use kasmina_registry::RegistryError;
use std::path::PathBuf;

/// Why a run cannot start or continue, or why its files cannot be read. No file is left half-written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// A name that does not exist: of a task, a controller, a device or a slot.
    #[error("no {what} `{name}`; there {}", if known.len() == 1 { format!("is only {}", known[0]) } else { format!("are {}", known.join(", ")) })]
    Unknown {
        /// Kind of thing that is named, such as `task`.
        what: &'static str,
        /// Name that does not exist.
        name: String,
        /// Names that exist.
        known: Vec<String>,
    },
    /// A device that is not available.
    #[error("device `{device}` is not available: {reason}")]
    Device {
        /// Device that was requested.
        device: String,
        /// Why it cannot be used.
        reason: String,
    },
    /// A setting that is out of its bounds, or contradicts another setting.
    #[error("setting `{field}`: {reason}")]
    Setting {
        /// Path of the setting, such as `optimizer.batch_size`.
        field: String,
        /// What is wrong with the value, and what is allowed.
        reason: String,
    },
    /// A configuration file that cannot be used.
    #[error("configuration {}: {reason}", path.display())]
    Config {
        /// Path of the file.
        path: PathBuf,
        /// What is wrong, with line and column.
        reason: String,
    },
    /// A run directory that cannot be used.
    #[error("run directory {}: {reason}", path.display())]
    RunDir {
        /// Path of the run directory.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A folder of a run directory that is a symbolic link.
    #[error("{} is a symbolic link: resuming would write and remove files in the folder that it points to", path.display())]
    LinkedFolder {
        /// Path of the folder.
        path: PathBuf,
    },
    /// A run directory that another process owns.
    #[error("run directory {}: process {pid} on {host} owns it", path.display())]
    Owned {
        /// Path of the run directory.
        path: PathBuf,
        /// Name of the owner's machine.
        host: String,
        /// Process id of the owner.
        pid: u32,
    },
    /// The host has no trainable parameter.
    #[error("host `{host}` has no trainable parameter, so there is nothing to train")]
    NothingLearns {
        /// Id of the host.
        host: String,
    },
    /// The directory of a new run already contains a run.
    #[error("run directory {}: it already contains a run", path.display())]
    HoldsARun {
        /// Path of the run directory.
        path: PathBuf,
        /// Whether that run can be resumed.
        unfinished: bool,
    },
    /// There is no run to resume.
    #[error("there is no run to resume in {}: {reason}", path.display())]
    NoRun {
        /// Path of the run directory.
        path: PathBuf,
        /// Why nothing can be resumed there.
        reason: String,
    },
    /// There is no saved network.
    #[error("there is no saved network in {}: {reason}", path.display())]
    NoNetwork {
        /// Path of the run directory or checkpoint.
        path: PathBuf,
        /// What is missing.
        reason: String,
    },
    /// A checkpoint does not describe the inputs and outputs of its network.
    #[error(
        "checkpoint {} does not describe the inputs and outputs of its network: it was written by Kasmina {version}",
        path.display()
    )]
    NoInterface {
        /// Folder of the checkpoint.
        path: PathBuf,
        /// Version of Kasmina that wrote the checkpoint.
        version: String,
    },
    /// A picture that a network cannot read.
    #[error("picture {}: {reason}", path.display())]
    Picture {
        /// Path of the file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A file of weights that cannot be read.
    #[error("weights {}: {reason}", path.display())]
    Weights {
        /// Path of the file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Weights that do not fit the host.
    #[error("weights {} do not fit host `{host}`:{report}", path.display())]
    Init {
        /// Path of the weights.
        path: PathBuf,
        /// Full name of the host.
        host: String,
        /// The weights that do not fit, in lines.
        report: String,
    },
    /// Data on which a network cannot be evaluated.
    #[error("task `{task}`: the network was trained for other data: {difference}")]
    OtherData {
        /// Id of the task.
        task: &'static str,
        /// What differs.
        difference: String,
    },
    /// No checkpoint of a run can be used.
    #[error("none of the {tried} checkpoints of {} is usable; the newest: {first}", path.display())]
    NoWholeCheckpoint {
        /// Path of the run directory.
        path: PathBuf,
        /// Number of its checkpoints.
        tried: usize,
        /// What is wrong with the newest one.
        first: String,
    },
    /// Settings in a run directory were changed that change the results of the run.
    #[error("{}: settings differ from those of the interrupted run: {}", path.display(), differences.join("; "))]
    SettingsDiffer {
        /// Path of the configuration file.
        path: PathBuf,
        /// Each changed setting with its old and its new value.
        differences: Vec<String>,
    },
    /// The build of a plugin that a run used is neither loaded nor stored in the run directory.
    #[error(
        "the run used build {build} of plugin `{plugin}` {version}, and its directory contains no copy of it; {found}"
    )]
    PluginOfRun {
        /// Name of the plugin.
        plugin: String,
        /// Version of the plugin that the run used.
        version: String,
        /// First digits of the SHA-256 of that build.
        build: String,
        /// What is loaded in its place, as a clause of the message.
        found: String,
    },
    /// Data, a file or the controller is not what the checkpoint was written with.
    #[error("checkpoint {}: {reason}", path.display())]
    Resume {
        /// Folder of the checkpoint.
        path: PathBuf,
        /// What differs.
        reason: String,
    },
    /// A checkpoint that does not fit the model.
    #[error("checkpoint {}: {error}", path.display())]
    State {
        /// Folder of the checkpoint.
        path: PathBuf,
        /// Part of the state that does not fit.
        #[source]
        error: Box<kasmina::state::StateError>,
    },
    /// A checkpoint that cannot be read.
    #[error(transparent)]
    Checkpoint(#[from] kasmina_checkpoint::CheckpointError),
    /// The host's outputs are NaN or infinite, and no seed is the cause.
    #[error(
        "epoch {epoch}: the host's outputs are not finite (training loss {loss}), and no seed is the cause{again}"
    )]
    NonFinite {
        /// Number of the epoch.
        epoch: u32,
        /// Mean loss of its training steps.
        loss: f64,
        /// End of the message if the run had gone back to a checkpoint before; otherwise empty.
        again: &'static str,
    },
    /// A file of thresholds that cannot be used.
    #[error("thresholds {}: {reason}", path.display())]
    Gates {
        /// Path of the file.
        path: PathBuf,
        /// What is wrong, with line and column.
        reason: String,
    },
    /// A script (a journal of commands) that cannot be used.
    #[error("script {}: {reason}", path.display())]
    Script {
        /// Path of the file.
        path: PathBuf,
        /// What is wrong, with the line.
        reason: String,
    },
    /// A file of a run that cannot be read.
    #[error("{}: {reason}", path.display())]
    Journal {
        /// Path of the file.
        path: PathBuf,
        /// What is wrong, with the line.
        reason: String,
    },
    /// The task's data is damaged.
    #[error("task `{task}`: {reason}")]
    Task {
        /// Id of the task.
        task: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// The task's data are missing, or are not the expected files.
    #[error("task `{task}`: {reason}")]
    Data {
        /// Id of the task.
        task: &'static str,
        /// What is wrong, and where.
        reason: String,
        /// Remedy, for [`TrainError::help`].
        help: String,
    },
    /// A plugin's file cannot be watched.
    #[error("cannot watch {}: {reason}", path.display())]
    Watch {
        /// Path of the folder or file.
        path: PathBuf,
        /// Message of the system.
        reason: String,
    },
    /// The ranks of a run cannot train together.
    #[error(transparent)]
    Ranks(#[from] kasmina_ranks::RanksError),
    /// The model cannot be built, or failed.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A plugin cannot be found or loaded.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// A configured seed cannot be built in its slot.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// A libtorch call through tch failed, outside a plugin.
    #[error(transparent)]
    Tensor(#[from] PluginError),
    /// A libtorch call through `kasmina-torch-ext` failed.
    #[error(transparent)]
    Torch(#[from] kasmina_torch_ext::Error),
}

impl TrainError {
    /// Returns a remedy in one line, if there is one.
    pub fn help(&self) -> Option<String> {
        match self {
            Self::Registry(error)
            | Self::Model(ModelError::Registry(error))
            | Self::Command(CommandError::Registry(error)) => error.help(),
            Self::Command(CommandError::Probe { .. }) => {
                Some("choose another blueprint, or report this to the plugin's author".to_owned())
            }
            Self::Ranks(error) => Some(error.help().to_owned()),
            Self::Model(ModelError::SlotTwice { .. }) => Some("name each slot once".to_owned()),
            Self::Model(ModelError::Host { .. }) => {
                Some("choose another host, or report this to the plugin's author".to_owned())
            }
            Self::Setting { .. } => Some("correct it on the command line or in the --config file".to_owned()),
            Self::Model(ModelError::UnknownSlot { .. }) => {
                Some("name slots by their own name or an alias, as --slots early,late".to_owned())
            }
            Self::Model(ModelError::Forward { error, .. })
                if error.kind == kasmina_plugin_api::ErrorKind::Panic =>
            {
                Some("this is a bug of the plugin: tell its author, or choose another entry".to_owned())
            }
            Self::Device { .. } => {
                Some("use --device cpu, or --device auto to use what is available; `cargo xtask setup --cuda` installs the GPU libraries".to_owned())
            }
            Self::NonFinite { .. } => {
                Some("lower optimizer.learning_rate, or check the data; docs/troubleshooting.md, `non_finite_host`".to_owned())
            }
            Self::NothingLearns { .. } => Some(
                "choose another host; a TorchScript module keeps the requires_grad flags it was saved with".to_owned(),
            ),
            Self::HoldsARun { path, unfinished: true } => {
                Some(format!("resume it: kasmina train --resume {}", path.display()))
            }
            Self::Owned { pid, .. } => {
                Some(format!("wait until that run ends, or stop it: kasmina control RUN stop, or kill {pid}"))
            }
            Self::NoRun { .. } => {
                Some("name a run directory that `kasmina train` wrote with checkpoints enabled".to_owned())
            }
            Self::NoNetwork { .. } => {
                Some("name a run directory, or the folder of one of its checkpoints".to_owned())
            }
            Self::Picture { .. } => {
                Some("name PNG, JPEG or WebP files of the size that the network reads".to_owned())
            }
            Self::Weights { .. } => {
                Some("name a safetensors file, a run directory, a checkpoint or an export".to_owned())
            }
            Self::Init { .. } => Some(
                "choose the host and its settings so that they fit, name the library with --names, or fill what fits with \
                 --allow-partial"
                    .to_owned(),
            ),
            Self::OtherData { .. } => {
                Some("name the data that the network was trained for: --task, --data-dir, --text".to_owned())
            }
            Self::NoInterface { .. } => {
                Some("resume the run for one more epoch; its new checkpoints do: kasmina train --resume RUN --epochs N".to_owned())
            }
            Self::NoWholeCheckpoint { .. } => {
                Some("`kasmina checkpoints verify RUN` says what is wrong with each".to_owned())
            }
            Self::SettingsDiffer { .. } => {
                Some("undo the change, or confirm it with --override key=value".to_owned())
            }
            Self::PluginOfRun { .. } => Some("put that build of the plugin into the plugin path".to_owned()),
            Self::Resume { .. } => Some("restore what was altered, or start a new run".to_owned()),
            Self::State { .. } => {
                Some("the checkpoint belongs to another network: use the plugins and settings of its run".to_owned())
            }
            Self::Checkpoint(error) => error.help().map(str::to_owned),
            Self::HoldsARun { .. } => Some("choose another directory with --out".to_owned()),
            Self::RunDir { .. } => Some(
                "check that you may write there and that the disk has room, or choose another directory with --out"
                    .to_owned(),
            ),
            Self::LinkedFolder { .. } => {
                Some("if you made the link, pass --trust-run; otherwise remove it".to_owned())
            }
            Self::Journal { .. } => {
                Some("name a complete run directory that `kasmina train` wrote".to_owned())
            }
            Self::Gates { .. } => {
                Some("the file takes the keys of [lifecycle.gates]; `kasmina schema gates` lists them".to_owned())
            }
            Self::Script { .. } => {
                Some("the commands.jsonl of a run is a script; `kasmina schema commands` and docs/runbook.md describe the format".to_owned())
            }
            Self::Model(ModelError::Isolation { .. }) => {
                Some("this is a bug of the blueprint's plugin: tell its author; docs/troubleshooting.md, `isolation_violations`".to_owned())
            }
            Self::Model(ModelError::Topology { .. }) => {
                Some("omit `topology` to use the host's, or choose another host".to_owned())
            }
            Self::Data { help, .. } => Some(help.clone()),
            Self::Config { .. } => {
                Some("`config.toml` of any run directory is a complete example".to_owned())
            }
            _ => None,
        }
    }
}

impl From<tch::TchError> for TrainError {
    fn from(error: tch::TchError) -> Self {
        PluginError::from(error).into()
    }
}
