//! Licences, duplicate crates and their sources, by `cargo deny`.

use std::process::Command;

use anyhow::{Context as _, Result};

use crate::{process, repo::Repo, setup};

/// The version that is compiled once, into the per-user cache.
const VERSION: &str = "0.20.2";

/// The check, with the tool installed where it is missing.
pub(crate) fn command(repo: &Repo) -> Result<Command> {
    let tools = setup::cache_folder()?.join(format!("cargo-deny-{VERSION}"));
    let program = tools.join("bin/cargo-deny");
    if !program.exists() {
        eprintln!("cargo-deny {VERSION} is compiled once, into {}", tools.display());
        let mut install = process::cargo();
        install.args(["install", "cargo-deny", "--quiet", "--version", VERSION, "--root"]).arg(&tools);
        process::check(install.current_dir(repo.root())).context("cargo-deny cannot be installed")?;
    }
    let mut deny = Command::new(program);
    deny.args(["--locked", "check", "licenses", "bans", "sources"]).current_dir(repo.root());
    Ok(deny)
}
