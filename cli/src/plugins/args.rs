//! Command-line arguments of `kasmina plugins`.

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

/// Arguments about where plugins are searched and what is trusted.
#[derive(Debug, Args)]
pub(crate) struct Access {
    /// A folder of plugins or a plugin file. May be given several times.
    #[arg(long, value_name = "PATH")]
    pub(crate) plugin_path: Vec<PathBuf>,
    /// Load plugins that are neither signed by a trusted key nor locked, and pin their bytes in plugins.lock.
    #[arg(long, env = "KASMINA_ALLOW_UNSIGNED", value_parser = FalseyValueParser::new())]
    pub(crate) allow_unsigned: bool,
    /// The lock file [default: plugins.lock in the working directory].
    #[arg(long, value_name = "FILE", env = "KASMINA_LOCK")]
    pub(crate) lock: Option<PathBuf>,
}

impl Access {
    /// Returns the policy for loading plugins. New builds are probed in a child process, which runs this
    /// program.
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
    /// List all blueprints, blends and hosts that are found, without running any plugin code.
    List {
        #[command(flatten)]
        access: Access,
        /// Print JSON instead of a table, with the configuration schemas that are known.
        #[arg(long)]
        json: bool,
    },
    /// Show the records of a plugin file, without running its code.
    Inspect {
        /// Path of the plugin's file.
        file: PathBuf,
        #[command(flatten)]
        access: Access,
        /// Print JSON instead of text.
        #[arg(long)]
        json: bool,
    },
    /// Print a Markdown page about all entries that are found: summary, capabilities, cost and settings.
    Catalogue {
        #[command(flatten)]
        access: Access,
    },
    /// Print the JSON Schema of the configuration of an entry.
    Schema {
        /// The entry, as `id` or `plugin::id`.
        id: String,
        #[command(flatten)]
        access: Access,
    },
    /// Run the conformance checks on a plugin file, in child processes.
    Check {
        /// Path of the plugin's file.
        file: PathBuf,
        /// Run only these checks. An unknown name prints the names of all checks.
        #[arg(long, value_name = "NAME", value_delimiter = ',')]
        only: Vec<String>,
        /// The seed of all random numbers, to reproduce a failure.
        #[arg(long, value_name = "N", default_value_t = 1)]
        seed: u64,
        #[command(flatten)]
        access: Access,
        /// Print JSON instead of a table.
        #[arg(long)]
        json: bool,
    },
    /// Create a new plugin crate.
    New(NewArgs),
    /// Write the builds of plugins that this project may run into plugins.lock.
    Lock {
        /// Plugin files [default: all that are found].
        files: Vec<PathBuf>,
        #[command(flatten)]
        access: Access,
        /// Write nothing; fail if the lock file would change.
        #[arg(long)]
        check: bool,
    },
    /// Manage the keys that are trusted to sign plugins, and the confirmed lock files.
    Trust(TrustArgs),
    /// Create a key pair to sign plugins: NAME.key, which must be kept secret, and NAME.pub.
    Keygen {
        /// Path without extension: `keys/me` creates keys/me.key and keys/me.pub.
        name: PathBuf,
        /// Do not protect the secret key by a password. A password is otherwise read from
        /// KASMINA_KEY_PASSWORD, or asked for.
        #[arg(long)]
        no_password: bool,
    },
    /// Sign a plugin file. Writes FILE.minisig.
    Sign {
        /// Path of the plugin's file.
        file: PathBuf,
        /// Path of the secret key.
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
    },
    /// Manage the quarantine: builds that ended the child process in which they were probed.
    Quarantine(QuarantineArgs),
    /// Check torch, search path, trust, quarantine and plugin files, and print a remedy for each problem.
    Doctor {
        #[command(flatten)]
        access: Access,
        /// Print JSON instead of a table.
        #[arg(long)]
        json: bool,
    },
    /// Swap another build of a plugin into a live run.
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
    /// The name of the crate and of its folder.
    pub(crate) name: String,
    /// The kind of entry that the plugin contains.
    #[arg(long, value_enum)]
    pub(crate) kind: NewKind,
    /// The folder of the sources of kasmina-plugin-api [default: the sources that this program was built
    /// from, if they exist].
    #[arg(long, value_name = "PATH")]
    pub(crate) path: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum NewKind {
    /// A blueprint: the architecture of a seed.
    Blueprint,
    /// A blend: how a seed is mixed into its host.
    Blend,
    /// A host: a network with slots.
    Host,
}

#[derive(Debug, Args)]
pub(crate) struct TrustArgs {
    #[command(subcommand)]
    pub(crate) verb: TrustVerb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TrustVerb {
    /// Trust a key: plugins that are signed with it may run.
    Add {
        /// Name for the key.
        name: String,
        /// The public key on one line, or the path of its file.
        key: String,
    },
    /// List the trusted keys.
    List {
        /// Print JSON instead of a table.
        #[arg(long)]
        json: bool,
    },
    /// Remove a key from the trusted keys.
    Remove {
        /// Name of the key.
        name: String,
    },
    /// Confirm the lock file of a project from another source. The builds that it lists may then run as you.
    Project {
        /// The lock file [default: plugins.lock in the working directory].
        #[arg(long, value_name = "FILE")]
        lock: Option<PathBuf>,
        /// Do not ask for confirmation, for scripts.
        #[arg(long)]
        yes: bool,
        /// Withdraw the confirmation.
        #[arg(long, conflicts_with = "yes")]
        forget: bool,
        /// List the confirmed lock files.
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
    /// List the builds in quarantine, with the reasons.
    List {
        /// Print JSON instead of a table.
        #[arg(long)]
        json: bool,
    },
    /// Release builds from quarantine. They are probed again before their next use.
    Clear {
        /// A plugin's name, a path, or the beginning of a hash [default: all builds].
        build: Option<String>,
    },
}
