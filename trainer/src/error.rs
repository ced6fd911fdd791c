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
        /// What was looked for.
        what: &'static str,
        /// By this name.
        name: String,
        /// What there is.
        known: Vec<String>,
    },
    /// A device that is not there.
    #[error("device `{device}` is not there: {reason}")]
    Device {
        /// What was asked for.
        device: String,
        /// Why not.
        reason: String,
    },
    /// A setting out of bounds.
    #[error("setting `{field}`: {reason}")]
    Setting {
        /// Which one, as a path.
        field: String,
        /// What is wrong.
        reason: String,
    },
    /// A configuration file that cannot be used.
    #[error("configuration {}: {reason}", path.display())]
    Config {
        /// Which file.
        path: PathBuf,
        /// What is wrong, with line and column.
        reason: String,
    },
    /// A run directory that cannot be used.
    #[error("run directory {}: {reason}", path.display())]
    RunDir {
        /// Which one.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A file of thresholds that cannot be used.
    #[error("thresholds {}: {reason}", path.display())]
    Gates {
        /// Which file.
        path: PathBuf,
        /// What is wrong, with line and column.
        reason: String,
    },
    /// A journal of commands that cannot be used.
    #[error("script {}: {reason}", path.display())]
    Script {
        /// Which file.
        path: PathBuf,
        /// What is wrong, with the line.
        reason: String,
    },
    /// A file of a run that cannot be read.
    #[error("{}: {reason}", path.display())]
    Journal {
        /// Which file.
        path: PathBuf,
        /// What is wrong, with the line.
        reason: String,
    },
    /// The task's data is damaged.
    #[error("task `{task}`: {reason}")]
    Task {
        /// Which task.
        task: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// The task's data are missing, or are not what they should be.
    #[error("task `{task}`: {reason}")]
    Data {
        /// Which task.
        task: &'static str,
        /// What is wrong, and where.
        reason: String,
        /// What to do about it.
        help: String,
    },
    /// A plugin's file cannot be watched.
    #[error("cannot watch {}: {reason}", path.display())]
    Watch {
        /// Which folder or file.
        path: PathBuf,
        /// The system's words.
        reason: String,
    },
    /// The model cannot be built, or failed.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A plugin is missing.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The seeds that were asked for cannot live in the slots that were asked for.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// libtorch failed, in a call that is not a plugin's.
    #[error(transparent)]
    Tensor(#[from] PluginError),
    /// libtorch failed.
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
            Self::RunDir { .. } => Some("choose another directory with --out".to_owned()),
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
