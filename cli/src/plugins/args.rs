//! What can be typed behind `kasmina plugins`.

use clap::builder::FalseyValueParser;
use clap::{Args, Subcommand};
use kasmina_registry::child::{Limits, Program};
use kasmina_registry::{Policy, SearchPath};
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(crate) struct PluginsArgs {
    #[command(subcommand)]
    pub(crate) verb: PluginsVerb,
}

/// Where plugins are looked for, and who is trusted.
#[derive(Debug, Args)]
pub(crate) struct Access {
    /// A folder of plugins or one plugin file; may be given several times.
    #[arg(long, value_name = "PATH")]
    pub(crate) plugin_path: Vec<PathBuf>,
    /// Let files in that nobody vouches for, and pin their bytes in plugins.lock.
    #[arg(long, env = "KASMINA_ALLOW_UNSIGNED", value_parser = FalseyValueParser::new())]
    pub(crate) allow_unsigned: bool,
    /// The lock file [default: plugins.lock of the working directory].
    #[arg(long, value_name = "FILE", env = "KASMINA_LOCK")]
    pub(crate) lock: Option<PathBuf>,
}

impl Access {
    /// What a run asks of a plugin. New builds are tried in a process of their own, which is this program
    /// again.
    pub(crate) fn policy(&self) -> Policy {
        let program = Program::this([crate::child::VERB]);
        let policy =
            Policy::standard().probing(program, Limits::default()).allowing_unsigned(self.allow_unsigned);
        match &self.lock {
            Some(path) => policy.with_lock(path),
            None => policy,
        }
    }

    pub(crate) fn search(&self) -> SearchPath {
        SearchPath::standard(&self.plugin_path)
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum PluginsVerb {
    /// List every blueprint, blend and host that is found, without running any of it.
    List {
        #[command(flatten)]
        access: Access,
        /// Print everything as JSON, configuration schemas included as far as they are known.
        #[arg(long)]
        json: bool,
    },
    /// Show what a plugin file says of itself, without opening it.
    Inspect {
        /// Path of the plugin's file.
        file: PathBuf,
        #[command(flatten)]
        access: Access,
        /// Print JSON instead of text.
        #[arg(long)]
        json: bool,
    },
    /// Print a page in Markdown about every entry that is found: what it is, promises and costs, and its
    /// settings.
    Catalogue {
        #[command(flatten)]
        access: Access,
    },
    /// Print the JSON Schema of an entry's configuration.
    Schema {
        /// The entry, as `id` or `plugin::id`.
        id: String,
        #[command(flatten)]
        access: Access,
    },
    /// Run the conformance checks on a plugin file, each in a process of its own.
    Check {
        /// Path of the plugin's file.
        file: PathBuf,
        /// Only these checks; an unknown name lists them.
        #[arg(long, value_name = "NAME", value_delimiter = ',')]
        only: Vec<String>,
        /// Where random inputs start, to see a failure again.
        #[arg(long, value_name = "N", default_value_t = 1)]
        seed: u64,
        #[command(flatten)]
        access: Access,
        /// Print JSON instead of a table.
        #[arg(long)]
        json: bool,
    },
    /// Write a new plugin crate.
    New(NewArgs),
    /// Decide which bytes this project runs, and write them into plugins.lock.
    Lock {
        /// Plugin files; everything that is found, if none is named.
        files: Vec<PathBuf>,
        #[command(flatten)]
        access: Access,
        /// Write nothing; fail if the lock file would change.
        #[arg(long)]
        check: bool,
    },
    /// Keys that are trusted to sign plugins, and projects whose lock files are confirmed.
    Trust(TrustArgs),
    /// Make a key to sign plugins with: NAME.key, to be kept secret, and NAME.pub.
    Keygen {
        /// Where to: `keys/me` makes keys/me.key and keys/me.pub.
        name: PathBuf,
        /// Do not protect the secret key by a password. One can also stand in KASMINA_KEY_PASSWORD.
        #[arg(long)]
        no_password: bool,
    },
    /// Sign a plugin file: writes FILE.minisig.
    Sign {
        /// Path of the plugin's file.
        file: PathBuf,
        /// Path of the secret key.
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
    },
    /// Builds that have ended the process in which they were tried.
    Quarantine(QuarantineArgs),
    /// Look at torch, search path, trust, quarantine and files, and say what to do about each finding.
    Doctor {
        #[command(flatten)]
        access: Access,
        /// Print JSON instead of a table.
        #[arg(long)]
        json: bool,
    },
    /// Ask a running `kasmina train` to take another build of a plugin.
    Swap {
        /// Directory of the run.
        #[arg(value_name = "RUN_DIR")]
        run: PathBuf,
        /// Path of the plugin's file.
        file: PathBuf,
    },
}

#[derive(Debug, Args)]
pub(crate) struct NewArgs {
    /// The crate's name, and the folder to write.
    pub(crate) name: String,
    /// What the plugin is to have.
    #[arg(long, value_enum)]
    pub(crate) kind: NewKind,
    /// Where the sources of kasmina-plugin-api lie [default: those that this program was built from, if they
    /// are there].
    #[arg(long, value_name = "PATH")]
    pub(crate) path: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum NewKind {
    /// A blueprint: the architecture of a seed.
    Blueprint,
    /// A way to blend a seed in.
    Blend,
    /// A host network with slots.
    Host,
}

#[derive(Debug, Args)]
pub(crate) struct TrustArgs {
    #[command(subcommand)]
    pub(crate) verb: TrustVerb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TrustVerb {
    /// Trust a key: plugins signed by it are let in.
    Add {
        /// Name of the key from now on.
        name: String,
        /// The public key in one line, or its file.
        key: String,
    },
    /// Show the keys that are trusted.
    List {
        /// Print JSON instead of a table.
        #[arg(long)]
        json: bool,
    },
    /// Trust a key no more.
    Remove {
        /// Name of the key.
        name: String,
    },
    /// Confirm the lock file of a project that came from somebody else: from then on the bytes that it names
    /// may run as you.
    Project {
        /// The lock file [default: plugins.lock of the working directory].
        #[arg(long, value_name = "FILE")]
        lock: Option<PathBuf>,
        /// Do not ask; for scripts.
        #[arg(long)]
        yes: bool,
        /// Withdraw the confirmation.
        #[arg(long, conflicts_with = "yes")]
        forget: bool,
        /// Show the lock files that are confirmed.
        #[arg(long, conflicts_with_all = ["yes", "forget", "lock"])]
        list: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct QuarantineArgs {
    #[command(subcommand)]
    pub(crate) verb: QuarantineVerb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum QuarantineVerb {
    /// Show what is in quarantine, and why.
    List {
        /// Print JSON instead of a table.
        #[arg(long)]
        json: bool,
    },
    /// Let builds out; they are tried again the next time.
    Clear {
        /// A plugin's name, a path, or the beginning of a hash; everything, if nothing is named.
        meant: Option<String>,
    },
}
