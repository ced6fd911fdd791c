//! Step `audit` of `cargo xtask ci`: checks licences, duplicate crates and crate sources with `cargo deny`.

use std::process::Command;

use anyhow::{Context as _, Result};

use crate::{process, repo::Repo, setup};

/// Version of `cargo-deny`. It is compiled once, into the per-user cache.
const VERSION: &str = "0.20.2";

/// Command that runs the checks. Installs `cargo-deny` if it is missing.
pub(crate) fn command(repo: &Repo) -> Result<Command> {
    let tools = setup::cache_folder()?.join(format!("cargo-deny-{VERSION}"));
    let program = tools.join("bin/cargo-deny");
    if !program.exists() {
        eprintln!("compiling cargo-deny {VERSION} into {}, once", tools.display());
        let mut install = process::cargo();
        install.args(["install", "cargo-deny", "--quiet", "--version", VERSION, "--root"]).arg(&tools);
        process::check(install.current_dir(repo.root())).context("cannot install cargo-deny")?;
    }
    let mut deny = Command::new(program);
    deny.args(["--locked", "check", "licenses", "bans", "sources"]).current_dir(repo.root());
    Ok(deny)
}
