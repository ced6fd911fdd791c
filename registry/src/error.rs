//! Errors of the registry: refused files, names that cannot be resolved, and entries that cannot be built.

use crate::bundled;
use kasmina_plugin_api::{Kind, PluginError};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The rule that a refused file breaks. Each variant describes a file that obeys it. The names in listings
/// and JSON are stable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Rule {
    /// The file can be read.
    Readable,
    /// It is a complete shared library.
    SharedLibrary,
    /// It contains the records of one plugin.
    Records,
    /// It was built for this major version of the plugin interface.
    Abi,
    /// It was built for this target.
    Target,
    /// It was built to unwind on panic.
    Panic,
    /// It was built against this version of torch.
    Torch,
    /// Its names are valid, unique and not reserved.
    Names,
    /// The system's loader can open it.
    Open,
    /// The types of its plugin interface have the same layout as in this program.
    Layout,
    /// Its initialisation succeeds.
    Init,
    /// Its running code lists the entries of its records.
    Listing,
    /// Only the user, root and trusted owners can write the file and the folders above it.
    Permissions,
    /// Its signature, if there is one, was made for this file.
    Signature,
    /// Its bytes and its signer are those in the lock file.
    Lock,
    /// It is trusted by a key, a lock file, its place, or a flag.
    Trust,
    /// Its host range includes this version of Kasmina.
    Host,
    /// It has not ended the process of an earlier probe.
    Quarantine,
    /// It can be tried in a child process.
    Probe,
    /// Its entries work on small tensors.
    Smoke,
    /// The plugin that interprets it is loaded.
    Interpreter,
    /// Its declaration is valid and can be built.
    Declaration,
    /// The loader loads no other library for it than libtorch and the system's own.
    Libraries,
    /// Its TorchScript module uses only operators that compute.
    Operators,
    /// This process can load another build of the plugin.
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

/// A file that was refused.
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

/// A name that matches no entry, or several.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LookupError {
    /// No loaded plugin has the entry.
    #[error("no {kind} `{id}`; there {}", available(.known))]
    Unknown {
        /// Kind of entry that was requested.
        kind: Kind,
        /// Name that was requested.
        id: String,
        /// Ids of the loaded entries of this kind.
        known: Vec<String>,
        /// Files that were found and refused.
        refused: Vec<String>,
    },
    /// Several plugins have an entry of this id.
    #[error("{kind} `{id}` is in several plugins")]
    Ambiguous {
        /// Kind of entry that was requested.
        kind: Kind,
        /// Name that was requested.
        id: String,
        /// Full names of the entries that match.
        candidates: Vec<String>,
    },
}

fn available(known: &[String]) -> String {
    match known {
        [] => "are none".to_owned(),
        [one] => format!("is only {one}"),
        all => format!("are {}", all.join(", ")),
    }
}

/// An error of the registry.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// A file was refused.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// An entry was not found, or its name is ambiguous.
    #[error(transparent)]
    Lookup(#[from] LookupError),
    /// A place in the search path cannot be read.
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
    /// The user has not confirmed the lock file, which may come from somebody else.
    #[error("lock file {}: you have not confirmed it, so it is neither trusted nor changed", path.display())]
    Unconfirmed {
        /// Path of the lock file.
        path: PathBuf,
        /// How to confirm the lock file.
        help: String,
    },
    /// The record of confirmed lock files cannot be read or written.
    #[error("confirmed lock files, {}: {reason}", path.display())]
    Project {
        /// File of confirmations, or the lock file whose confirmation failed.
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
    /// Returns what to do about the error, in one line.
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
                Some(format!("use a full name: {}", candidates.join(" or ")))
            }
            Self::Place { .. } => {
                Some("name a folder of plugins or one plugin file that you may read".to_owned())
            }
            Self::Lock { .. } => Some("correct it, or write it again with `kasmina plugins lock`".to_owned()),
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
