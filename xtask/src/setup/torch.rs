//! What a set-up means to the cargo calls after it.

use std::env;
use std::path::PathBuf;
use std::process::Command;

use crate::process;

/// A libtorch and a C++ compiler that are known to be there.
pub(crate) struct Torch {
    /// The compiler to name in CXX, where the default one is missing.
    compiler: Option<&'static str>,
    origin: Origin,
}

enum Origin {
    Cached,
    Own { lib: Option<PathBuf> },
}

impl Torch {
    /// Out of the cache, behind the link that `.cargo/config.toml` names.
    pub(super) fn cached(compiler: Option<&'static str>) -> Self {
        Self { compiler, origin: Origin::Cached }
    }

    /// Named by the user's environment; `lib` where only Python knows the place.
    pub(super) fn own(compiler: Option<&'static str>, lib: Option<PathBuf>) -> Self {
        Self { compiler, origin: Origin::Own { lib } }
    }

    /// A cargo that builds against this libtorch.
    pub(crate) fn cargo(&self) -> Command {
        let mut cargo = process::cargo();
        match &self.origin {
            // `cargo xtask` itself runs under the `[env]` table. Handing its LIBTORCH on as if the user had
            // set it would make cargo see another environment than a plain `cargo build` does.
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
