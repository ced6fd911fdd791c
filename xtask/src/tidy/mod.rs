//! `cargo xtask tidy`: checks the repository against its own rules.
//!
//! [`text`] checks every file, [`rust`] the tokens of Rust sources (so comments and strings cannot break a
//! rule), [`imports`] the files of a crate together, [`manifest`] each `Cargo.toml`, [`markdown`] links, and
//! [`comments`] prose.

mod comments;
mod finding;
mod imports;
mod manifest;
mod markdown;
mod rust;
mod text;
mod tokens;

use std::fs;
use std::process::ExitCode;

use anyhow::{Context as _, Result};

use crate::repo::Repo;
use finding::Finding;

/// Largest size of a file in bytes. Larger files belong in a release or a cache.
const LARGEST: usize = 1_000_000;

/// Prints the findings; fails if there is one.
pub(crate) fn run(repo: &Repo) -> Result<ExitCode> {
    let findings = findings(repo)?;
    for finding in &findings {
        println!("{finding}");
    }
    Ok(if findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Findings in all files, in the order of the files; import cycles come last.
pub(crate) fn findings(repo: &Repo) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    let mut sources = Vec::new();
    // Tests run this on a tree without a manifest; such a tree requires no lints.
    let workspace = fs::read_to_string(repo.root().join("Cargo.toml")).unwrap_or_default();
    for path in repo.files()? {
        let bytes = fs::read(repo.root().join(&path)).with_context(|| format!("cannot read {path}"))?;
        if bytes.len() > LARGEST {
            let what = format!("{} bytes", bytes.len());
            findings.push(Finding { path: path.clone(), line: 1, what, why: "no file is over 1 MB" });
        }
        let Ok(source) = std::str::from_utf8(&bytes) else { continue };
        findings.extend(text::findings(&path, source));
        match path.rsplit_once('.') {
            Some((_, "rs")) => {
                findings.extend(rust::findings(&path, source));
                findings.extend(comments::of_rust(&path, source));
            }
            Some((_, "md")) => {
                findings.extend(markdown::findings(repo.root(), &path, source));
                findings.extend(comments::of_markdown(&path, source));
            }
            _ if path.ends_with("/Cargo.toml") => {
                findings.extend(manifest::findings(&path, source, &workspace));
            }
            _ => {}
        }
        if matches!(path.rsplit_once('.'), Some((_, "rs"))) {
            sources.push((path, source.to_owned()));
        }
    }
    findings.extend(imports::findings(&sources));
    Ok(findings)
}

#[cfg(test)]
mod spec {
    use super::{Finding, findings};
    use crate::repo::Repo;
    use std::fs;
    use std::process::Command;

    #[test]
    fn a_finding_is_one_line() {
        let finding = Finding { path: "a/b.rs".into(), line: 7, what: "`dbg!`".into(), why: "leftover" };
        assert_eq!(finding.to_string(), "a/b.rs:7: `dbg!` — leftover");
    }

    #[test]
    fn ignored_files_are_not_checked() -> anyhow::Result<()> {
        let root = tempfile::tempdir()?;
        let init = Command::new("git").args(["init", "--quiet"]).current_dir(root.path()).status()?;
        assert!(init.success());
        fs::write(root.path().join(".gitignore"), "/target\n")?;
        fs::create_dir(root.path().join("target"))?;
        fs::write(root.path().join("target/big"), vec![b'x'; super::LARGEST + 1])?;
        fs::write(root.path().join("big"), vec![b'x'; super::LARGEST + 1])?;
        let found: Vec<String> = findings(&Repo::at(root.path()))?.iter().map(ToString::to_string).collect();
        assert_eq!(found, ["big:1: 1000001 bytes — no file is over 1 MB"]);
        Ok(())
    }
}
