//! Where plugins are looked for.

use etcetera::BaseStrategy as _;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Why a place is searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// Named on the command line or by an embedder.
    Named,
    /// Named by `KASMINA_PLUGIN_PATH`.
    Environment,
    /// `plugins` of the working directory.
    Project,
    /// The user's data directory.
    User,
    /// Beside the executable.
    Executable,
}

/// One place: a folder, or one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Place {
    /// Where.
    pub path: PathBuf,
    /// Why.
    pub origin: Origin,
}

impl Place {
    /// Whether the user named it: then it must be there.
    pub fn must_exist(&self) -> bool {
        matches!(self.origin, Origin::Named | Origin::Environment)
    }
}

/// The places, in the order in which they are searched; the first plugin of a name wins.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct SearchPath(Vec<Place>);

impl SearchPath {
    /// Nowhere.
    pub fn empty() -> Self {
        Self::default()
    }

    /// What was named, then `KASMINA_PLUGIN_PATH`, `./plugins`, the user's data directory, and `plugins` beside
    /// the executable.
    pub fn standard(named: &[PathBuf]) -> Self {
        let mut path = Self::default();
        path.extend(named.iter().cloned(), Origin::Named);
        if let Some(list) = std::env::var_os("KASMINA_PLUGIN_PATH") {
            path.extend(
                std::env::split_paths(&list).filter(|p| !p.as_os_str().is_empty()),
                Origin::Environment,
            );
        }
        path.extend([PathBuf::from("plugins")], Origin::Project);
        if let Ok(base) = etcetera::choose_base_strategy() {
            path.extend([base.data_dir().join("kasmina/plugins")], Origin::User);
        }
        let beside = std::env::current_exe().ok().and_then(|exe| exe.parent().map(|d| d.join("plugins")));
        path.extend(beside, Origin::Executable);
        path
    }

    /// Adds places at the end.
    pub fn extend(&mut self, places: impl IntoIterator<Item = PathBuf>, origin: Origin) {
        self.0.extend(places.into_iter().map(|path| Place { path, origin }));
    }

    /// The places in order.
    pub fn places(&self) -> &[Place] {
        &self.0
    }
}

/// The libraries of a folder, sorted by name.
pub(crate) fn libraries(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == "so") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}
