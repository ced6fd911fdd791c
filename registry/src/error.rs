//! Why a plugin was refused, and why a name leads nowhere.

use crate::bundled;
use kasmina_plugin_api::{Kind, PluginError};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The rule that a file broke; stable slugs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Rule {
    /// It cannot be read at all.
    Readable,
    /// It is a whole shared library.
    SharedLibrary,
    /// It carries the records of a plugin.
    Records,
    /// It speaks this version of the plugin API.
    Abi,
    /// It was built for this target.
    Target,
    /// It was built to unwind on panic.
    Panic,
    /// It was built against this torch.
    Torch,
    /// Its names are its own.
    Names,
    /// The system's loader can open it.
    Open,
    /// The types of its interface have the host's layout.
    Layout,
    /// Its initialisation succeeds.
    Init,
    /// It lists what its records say.
    Listing,
    /// Nobody but its owner can write it.
    Permissions,
    /// Its signature is its own.
    Signature,
    /// Its bytes are those of the lock file.
    Lock,
    /// A key, a lock file or the user vouches for it.
    Trust,
    /// It wants to run in this version of Kasmina.
    Host,
    /// It has not ended a process before.
    Quarantine,
    /// It can be tried in a process of its own.
    Probe,
    /// What it brings works on small tensors.
    Smoke,
    /// The plugin that interprets it is there.
    Interpreter,
    /// What it declares can be built.
    Declaration,
    /// The loader would load nothing with it that its hash does not cover.
    Libraries,
    /// A module uses only operators that compute.
    Operators,
    /// This process has room for another build.
    Generations,
}

impl Rule {
    /// Name of the rule in listings and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Readable => "readable",
            Self::SharedLibrary => "shared_library",
            Self::Records => "records",
            Self::Abi => "abi",
            Self::Target => "target",
            Self::Panic => "panic",
            Self::Torch => "torch",
            Self::Names => "names",
            Self::Open => "open",
            Self::Layout => "layout",
            Self::Init => "init",
            Self::Listing => "listing",
            Self::Permissions => "permissions",
            Self::Signature => "signature",
            Self::Lock => "lock",
            Self::Trust => "trust",
            Self::Host => "host",
            Self::Quarantine => "quarantine",
            Self::Probe => "probe",
            Self::Smoke => "smoke",
            Self::Interpreter => "interpreter",
            Self::Declaration => "declaration",
            Self::Libraries => "libraries",
            Self::Operators => "operators",
            Self::Generations => "generations",
        }
    }
}

/// A file that was not let in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("plugin {} refused by rule `{}`: {found}", path.display(), rule.as_str())]
pub struct Refusal {
    /// File that was refused.
    pub path: PathBuf,
    /// Rule that it breaks.
    pub rule: Rule,
    /// What was found.
    pub found: String,
    /// What to do about it.
    pub remedy: String,
}

/// A name that leads to no entry, or to several.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LookupError {
    /// No loaded plugin has the entry.
    #[error("no {kind} `{id}`; there {}", available(.known))]
    Unknown {
        /// Kind of entry that was looked for.
        kind: Kind,
        /// Name that was looked for.
        id: String,
        /// Full names of the entries of this kind.
        known: Vec<String>,
        /// Files that were found and refused.
        refused: Vec<String>,
    },
    /// Several plugins have an entry of this id.
    #[error("{kind} `{id}` is in several plugins")]
    Ambiguous {
        /// Kind of entry that was looked for.
        kind: Kind,
        /// Name that was looked for.
        id: String,
        /// The full names to choose from.
        candidates: Vec<String>,
    },
}

fn available(known: &[String]) -> String {
    match known {
        [] => "are none at all".to_owned(),
        [one] => format!("is only {one}"),
        all => format!("are {}", all.join(", ")),
    }
}

/// Anything that the registry can answer instead of a plugin or an entry.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// A file was not let in.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// An entry was not found, or its name is ambiguous.
    #[error(transparent)]
    Lookup(#[from] LookupError),
    /// A place to search cannot be read.
    #[error("cannot read the plugin path {}: {reason}", path.display())]
    Place {
        /// Folder or file that was named.
        path: PathBuf,
        /// Message of the system.
        reason: String,
    },
    /// The lock file cannot be read or written.
    #[error("lock file {}: {reason}", path.display())]
    Lock {
        /// Path of the lock file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The lock file came from somebody else, and the user has not said yes to it.
    #[error("lock file {}: you have not confirmed it, so it is neither believed nor changed", path.display())]
    Unconfirmed {
        /// Path of the lock file.
        path: PathBuf,
        /// How to confirm the lock file.
        help: String,
    },
    /// The record of confirmed lock files cannot be read or written.
    #[error("confirmed lock files, {}: {reason}", path.display())]
    Project {
        /// The record, or the lock file that was to be confirmed.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The quarantine cannot be read or written.
    #[error("quarantine {}: {reason}", path.display())]
    Quarantine {
        /// Path of the quarantine file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A trusted key cannot be read, added or removed.
    #[error("trusted key {}: {reason}", path.display())]
    Keys {
        /// Path of the key or of the keys folder.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
        /// What to do about it.
        help: String,
    },
    /// An entry could not be built.
    #[error("{kind} `{id}` cannot be built: {error}")]
    Build {
        /// Kind of the entry.
        kind: Kind,
        /// Full name of the entry.
        id: String,
        /// Error of the plugin.
        #[source]
        error: PluginError,
    },
}

impl RegistryError {
    /// What to do about it, in one line.
    pub fn help(&self) -> Option<String> {
        match self {
            Self::Refused(refusal) => Some(refusal.remedy.clone()),
            Self::Lookup(LookupError::Unknown { refused, .. }) if !refused.is_empty() => {
                let refused = refused.join("; ");
                Some(format!(
                    "these files were found and refused: {refused}; `kasmina plugins list` says what to do about each"
                ))
            }
            Self::Lookup(LookupError::Unknown { known, .. }) => Some(match bundled::missing(known) {
                Some(folder) => format!(
                    "the plugins that ship with this program are not beside it: there is no {}; `cargo xtask build` \
                     makes it in a checkout, and a distribution has it",
                    folder.display()
                ),
                None => {
                    "`kasmina plugins list` shows what is found; add a folder or a file with --plugin-path"
                        .to_owned()
                }
            }),
            Self::Lookup(LookupError::Ambiguous { candidates, .. }) => {
                Some(format!("say which: {}", candidates.join(" or ")))
            }
            Self::Place { .. } => {
                Some("name a folder of plugins or one plugin file that you may read".to_owned())
            }
            Self::Lock { .. } => Some("correct it, or write it anew with `kasmina plugins lock`".to_owned()),
            Self::Unconfirmed { help, .. } | Self::Keys { help, .. } => Some(help.clone()),
            Self::Project { .. } => {
                Some("correct or remove that record; `kasmina plugins trust project` writes it".to_owned())
            }
            Self::Quarantine { .. } => {
                Some("correct that file, or remove it: what it names is then tried again".to_owned())
            }
            Self::Build { error, .. } => match error.kind {
                kasmina_plugin_api::ErrorKind::Config => {
                    Some("`kasmina plugins list --json` prints the schema of every configuration".to_owned())
                }
                kasmina_plugin_api::ErrorKind::Panic => {
                    Some("this is a bug of the plugin: tell its author, or choose another entry".to_owned())
                }
                _ => None,
            },
        }
    }
}
