//! `cargo xtask examples`: builds, tests and runs each crate in `examples/`.
//!
//! Each example is a workspace of its own, as it would be outside this repository. All build into this
//! workspace's target folder, so that torch-sys is compiled once.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Instant;

use anyhow::{Context as _, Result};

use crate::{process, repo::Repo, setup};

/// A crate in `examples/`.
struct Example {
    folder: PathBuf,
    /// Name of the library that cargo builds: the package name with `_` for `-`.
    library: String,
    /// Whether it is a program, which is run; otherwise it is a plugin, which is checked.
    runs: bool,
}

/// Builds, tests and tries all examples; stops at the first failure.
pub(crate) fn run(repo: &Repo) -> Result<ExitCode> {
    let torch = setup::run(repo, false)?;
    let target = repo.target()?;
    // The features of the tests; others would compile half of the workspace again.
    let command = ["build", "--workspace", "--all-features", "--bin", "kasmina"];
    process::check(torch.cargo().args(command).current_dir(repo.root()))?;
    let kasmina = target.join("debug/kasmina");
    let mut took = Vec::new();
    for example in all(&repo.root().join("examples"))? {
        let start = Instant::now();
        let name = example.folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        println!("\n--- {name}");
        let cargo = |verb: &str| {
            let mut cargo = torch.cargo();
            cargo.arg(verb).current_dir(&example.folder);
            cargo
        };
        let style = repo.root().join("rustfmt.toml");
        process::check(cargo("fmt").args(["--check", "--", "--config-path"]).arg(style))?;
        process::check(cargo("test").arg("--target-dir").arg(&target))?;
        process::check(cargo("build").arg("--target-dir").arg(&target))?;
        if example.runs {
            process::check(cargo("run").arg("--quiet").arg("--target-dir").arg(&target))?;
        } else {
            let library = target.join("debug").join(format!("lib{}.so", example.library));
            process::check(Command::new(&kasmina).args(["plugins", "check"]).arg(library))?;
        }
        took.push(format!("{name:<12} {:>6.1} s", start.elapsed().as_secs_f64()));
    }
    println!("\n{}", took.join("\n"));
    Ok(ExitCode::SUCCESS)
}

/// The crates in `folder`, sorted by path.
fn all(folder: &Path) -> Result<Vec<Example>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let folder = entry?.path();
        let manifest = folder.join("Cargo.toml");
        if !manifest.is_file() {
            continue;
        }
        let wrong = || format!("{} names no package", manifest.display());
        let table: toml::Table =
            fs::read_to_string(&manifest).with_context(wrong)?.parse().with_context(wrong)?;
        let name = table.get("package").and_then(|p| p.get("name")).and_then(toml::Value::as_str);
        let library = name.with_context(wrong)?.replace('-', "_");
        found.push(Example { runs: folder.join("src/main.rs").is_file(), folder, library });
    }
    found.sort_by(|a, b| a.folder.cmp(&b.folder));
    Ok(found)
}

#[cfg(test)]
mod spec {
    use super::all;
    use crate::repo::Repo;

    #[test]
    fn every_example_is_found() -> anyhow::Result<()> {
        let found = all(&Repo::find()?.root().join("examples"))?;
        let names: Vec<&str> = found.iter().map(|e| e.library.as_str()).collect();
        assert_eq!(names, ["cautious_blend", "contrast_seed", "points", "dense_host", "swappable_ramp"]);
        assert_eq!(found.iter().filter(|e| e.runs).count(), 1);
        Ok(())
    }
}
