//! Lists the crates that are linked into the program and its plugins.

use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Packages of the program and its plugins.
const ROOTS: [&str; 6] = [
    "kasmina-blends",
    "kasmina-blueprints-cnn",
    "kasmina-blueprints-transformer",
    "kasmina-cli",
    "kasmina-declared",
    "kasmina-hosts",
];

/// A crate that is part of the distribution.
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
    /// Licence expression of its manifest.
    pub(crate) licence: Option<String>,
    /// Folder of the crate's sources.
    pub(crate) folder: PathBuf,
    /// Whether it comes from a registry, not from this workspace.
    pub(crate) is_published: bool,
}

/// Returns every crate that is linked into the distribution, sorted by name and version. Dependencies of
/// build scripts and of tests are left out.
pub(crate) fn of(root: &Path) -> Result<Vec<Package>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut metadata = Command::new(cargo);
    metadata.args(["metadata", "--format-version", "1", "--locked"]);
    metadata.args(["--filter-platform", "x86_64-unknown-linux-gnu"]).current_dir(root);
    let output = metadata.output().context("cannot run `cargo metadata`")?;
    if !output.status.success() {
        bail!("`cargo metadata` failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    let metadata: Value = serde_json::from_slice(&output.stdout)?;
    let linked = linked(&metadata);
    let all = metadata["packages"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut packages: Vec<Package> = all
        .iter()
        .filter(|package| linked.contains(package["id"].as_str().unwrap_or_default()))
        .map(|package| {
            let text = |key: &str| package[key].as_str().map(str::to_owned);
            Package {
                name: text("name").unwrap_or_default(),
                version: text("version").unwrap_or_default(),
                licence: text("license"),
                folder: package["manifest_path"]
                    .as_str()
                    .map(Path::new)
                    .and_then(Path::parent)
                    .map(Path::to_owned)
                    .unwrap_or_default(),
                is_published: !package["source"].is_null(),
            }
        })
        .collect();
    packages.sort_by(|a, b| (&a.name, &a.version).cmp(&(&b.name, &b.version)));
    Ok(packages)
}

/// Ids of the crates that normal dependencies reach from [`ROOTS`].
fn linked(metadata: &Value) -> BTreeSet<String> {
    let nodes = metadata["resolve"]["nodes"].as_array().map(Vec::as_slice).unwrap_or_default();
    let by_id: BTreeMap<&str, &Value> =
        nodes.iter().filter_map(|node| Some((node["id"].as_str()?, node))).collect();
    let all = metadata["packages"].as_array().map(Vec::as_slice).unwrap_or_default();
    let is_root = |package: &&Value| package["name"].as_str().is_some_and(|name| ROOTS.contains(&name));
    let mut open: Vec<String> =
        all.iter().filter(is_root).filter_map(|p| Some(p["id"].as_str()?.to_owned())).collect();
    let mut seen = BTreeSet::new();
    while let Some(id) = open.pop() {
        if !seen.insert(id.clone()) {
            continue;
        }
        let deps = by_id.get(id.as_str()).and_then(|node| node["deps"].as_array());
        for dep in deps.into_iter().flatten() {
            let kinds = dep["dep_kinds"].as_array().map(Vec::as_slice).unwrap_or_default();
            // Normal dependencies have no kind.
            if kinds.iter().any(|kind| kind["kind"].is_null()) {
                open.extend(dep["pkg"].as_str().map(str::to_owned));
            }
        }
    }
    seen
}
