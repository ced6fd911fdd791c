//! The result of a set-up: how to call cargo with it.

use std::env;
use std::path::PathBuf;
use std::process::Command;

use crate::process;

/// A libtorch and a C++ compiler that were found by the set-up.
pub(crate) struct Torch {
    /// Value for CXX, if the default compiler is missing.
    compiler: Option<&'static str>,
    origin: Origin,
}

enum Origin {
    /// The cache.
    Cached,
    /// The user's environment. `lib`: folder of the libraries, if it is PyTorch's.
    Own { lib: Option<PathBuf> },
}

impl Torch {
    /// A libtorch in the cache, used through the link that `.cargo/config.toml` names.
    pub(super) fn cached(compiler: Option<&'static str>) -> Self {
        Self { compiler, origin: Origin::Cached }
    }

    /// A libtorch that the user's environment names. `lib`: folder of the libraries, if it is PyTorch's.
    pub(super) fn own(compiler: Option<&'static str>, lib: Option<PathBuf>) -> Self {
        Self { compiler, origin: Origin::Own { lib } }
    }

    /// Command for a cargo that builds against this libtorch.
    pub(crate) fn cargo(&self) -> Command {
        let mut cargo = process::cargo();
        match &self.origin {
            // Cargo set LIBTORCH for this process from its `[env]` table. If it were passed on, builds would
            // see another environment than a plain `cargo build`.
            Origin::Cached => {
                cargo.env_remove("LIBTORCH");
            }
            Origin::Own { lib: None } => {}
            Origin::Own { lib: Some(lib) } => {
                let before = env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
                let paths = std::iter::once(lib.clone()).chain(env::split_paths(&before));
                if let Ok(paths) = env::join_paths(paths) {
                    cargo.env("LD_LIBRARY_PATH", paths);
                }
            }
        }
        if let Some(compiler) = self.compiler {
            cargo.env("CXX", compiler);
        }
        cargo
    }
}
