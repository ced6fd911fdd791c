//! Why a run cannot start, or cannot go on.

use kasmina::{CommandError, ModelError};
use kasmina_plugin_api::PluginError;
use kasmina_registry::RegistryError;
use std::path::PathBuf;

/// A run that failed. Nothing that it had written is half-written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// There is no such task, controller or device.
    #[error("no {what} `{name}`; there {}", if known.len() == 1 { format!("is only {}", known[0]) } else { format!("are {}", known.join(", ")) })]
    Unknown {
        /// Kind of thing that was looked for.
        what: &'static str,
        /// Name that was looked for.
        name: String,
        /// Names that exist.
        known: Vec<String>,
    },
    /// A device that is not there.
    #[error("device `{device}` is not there: {reason}")]
    Device {
        /// Device that was asked for.
        device: String,
        /// Why it cannot be used.
        reason: String,
    },
    /// A setting out of bounds.
    #[error("setting `{field}`: {reason}")]
    Setting {
        /// Which one, as a path.
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
    /// A folder of a run directory that is a link to another place.
    #[error("{} is a symbolic link: resuming would write and remove files in the folder that it points to", path.display())]
    LinkedFolder {
        /// Path of the folder.
        path: PathBuf,
    },
    /// A run directory that is another process's.
    #[error("run directory {}: process {pid} on {host} owns it", path.display())]
    Owned {
        /// Path of the run directory.
        path: PathBuf,
        /// Name of the owner's machine.
        host: String,
        /// Process id of the owner.
        pid: u32,
    },
    /// The host has no parameter that learns.
    #[error("host `{host}` has no parameter that learns, so there is nothing to train")]
    NothingLearns {
        /// Id of the host.
        host: String,
    },
    /// A run directory that was to be new and is not.
    #[error("run directory {}: it holds a run already", path.display())]
    HoldsARun {
        /// Path of the run directory.
        path: PathBuf,
        /// Whether that run can go on.
        unfinished: bool,
    },
    /// There is no run that could go on.
    #[error("no run can go on in {}: {reason}", path.display())]
    NoRun {
        /// Path of the run directory.
        path: PathBuf,
        /// Why it cannot go on.
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
    /// A checkpoint does not say what its network reads and predicts.
    #[error("{} does not say what its network reads: Kasmina {version} wrote it", path.display())]
    NoInterface {
        /// Folder of the checkpoint.
        path: PathBuf,
        /// Version of Kasmina that wrote the checkpoint.
        version: String,
    },
    /// No checkpoint of a run is whole.
    #[error("none of the {tried} checkpoints of {} is whole; the newest: {first}", path.display())]
    NoWholeCheckpoint {
        /// Path of the run directory.
        path: PathBuf,
        /// Number of its checkpoints.
        tried: usize,
        /// What is wrong with the newest.
        first: String,
    },
    /// The settings in a run directory were changed, and the results would be others.
    #[error("{}: settings differ from those that the run was interrupted with: {}", path.display(), differences.join("; "))]
    SettingsDiffer {
        /// Path of the file.
        path: PathBuf,
        /// Each setting, as it was and as it is.
        differences: Vec<String>,
    },
    /// A plugin that a run was on is not there.
    #[error("the run was on build {build} of plugin `{plugin}` {version}, and keeps no copy of it; {found}")]
    PluginOfRun {
        /// Name of the plugin.
        plugin: String,
        /// Version of the plugin that the run used.
        version: String,
        /// The beginning of its hash then.
        build: String,
        /// What is loaded in its place.
        found: String,
    },
    /// Something else than then, which a run cannot go on with.
    #[error("checkpoint {}: {reason}", path.display())]
    Resume {
        /// Folder of the checkpoint.
        path: PathBuf,
        /// What differs between then and now.
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
    /// The host's numbers are NaN or infinite, and no seed is to blame.
    #[error(
        "epoch {epoch}: the host's numbers are not finite (loss {loss} in training), and no seed is to blame{again}"
    )]
    NonFinite {
        /// Number of the epoch.
        epoch: u32,
        /// The mean loss of its training steps.
        loss: f64,
        /// Whether it has happened again after a rollback.
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
    /// A journal of commands that cannot be used.
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
    /// The task's data are missing, or are not what they should be.
    #[error("task `{task}`: {reason}")]
    Data {
        /// Id of the task.
        task: &'static str,
        /// What is wrong, and where.
        reason: String,
        /// What to do about it.
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
    /// The model cannot be built, or failed.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A plugin cannot be found or loaded.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The seeds that were asked for cannot live in the slots that were asked for.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// libtorch failed, in a call that is not a plugin's.
    #[error(transparent)]
    Tensor(#[from] PluginError),
    /// A libtorch call failed.
    #[error(transparent)]
    Torch(#[from] kasmina_torch_ext::Error),
}

impl TrainError {
    /// What to do about it, in one line.
    pub fn help(&self) -> Option<String> {
        match self {
            Self::Registry(error)
            | Self::Model(ModelError::Registry(error))
            | Self::Command(CommandError::Registry(error)) => error.help(),
            Self::Command(CommandError::Probe { .. }) => {
                Some("choose another blueprint, or tell the plugin's author what it does here".to_owned())
            }
            Self::Model(ModelError::SlotTwice { .. }) => Some("name each slot once".to_owned()),
            Self::Model(ModelError::Host { .. }) => {
                Some("choose another host, or tell the plugin's author what it does here".to_owned())
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
                Some("use --device cpu, or --device auto to take what is there; `cargo xtask setup --cuda` brings the GPU libraries".to_owned())
            }
            Self::NonFinite { .. } => {
                Some("lower optimizer.learning_rate, or look at the data; docs/troubleshooting.md, `non_finite_host`".to_owned())
            }
            Self::NothingLearns { .. } => Some(
                "choose another host; a TorchScript module keeps what requires_grad was when it was saved".to_owned(),
            ),
            Self::HoldsARun { path, unfinished: true } => {
                Some(format!("go on with it: kasmina train --resume {}", path.display()))
            }
            Self::Owned { pid, .. } => {
                Some(format!("wait until that run is over, or end it: kasmina control RUN stop, or kill {pid}"))
            }
            Self::NoRun { .. } => {
                Some("name the directory of a run that `kasmina train` has written, with checkpoints on".to_owned())
            }
            Self::NoNetwork { .. } => {
                Some("name a run directory, or the folder of one of its checkpoints".to_owned())
            }
            Self::NoInterface { .. } => {
                Some("go on with the run for an epoch; the checkpoints that it writes then do: kasmina train --resume RUN --epochs N".to_owned())
            }
            Self::NoWholeCheckpoint { .. } => {
                Some("`kasmina checkpoints verify RUN` says what is wrong with each".to_owned())
            }
            Self::SettingsDiffer { .. } => {
                Some("undo the change, or ask for it: --override key=value".to_owned())
            }
            Self::PluginOfRun { .. } => Some("put that build of the plugin into the plugin path".to_owned()),
            Self::Resume { .. } => Some("restore what was altered, or begin a new run".to_owned()),
            Self::State { .. } => {
                Some("the checkpoint is of another network: use the plugins and settings of its run".to_owned())
            }
            Self::Checkpoint(error) => error.help().map(str::to_owned),
            Self::HoldsARun { .. } => Some("choose another directory with --out".to_owned()),
            Self::RunDir { .. } => Some(
                "see that you may write there and that there is room, or choose another directory with --out"
                    .to_owned(),
            ),
            Self::LinkedFolder { .. } => {
                Some("if the link is yours, say so with --trust-run; otherwise remove it".to_owned())
            }
            Self::Journal { .. } => {
                Some("name a run directory that `kasmina train` has written, whole".to_owned())
            }
            Self::Gates { .. } => {
                Some("it holds the keys of [lifecycle.gates]; `kasmina schema gates` lists them".to_owned())
            }
            Self::Script { .. } => {
                Some("commands.jsonl of a run is one; `kasmina schema commands` and docs/runbook.md say what may stand there".to_owned())
            }
            Self::Model(ModelError::Isolation { .. }) => {
                Some("this is a bug of the plugin that brings the blueprint: tell its author; docs/troubleshooting.md, `isolation_violations`".to_owned())
            }
            Self::Model(ModelError::Topology { .. }) => {
                Some("leave `topology` out to take the host's, or choose another host".to_owned())
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
