//! The search path of plugins, and the files in it.

use crate::bundled;
use crate::declared;
use crate::error::{Refusal, RegistryError};
use crate::ownership::Owners;
use crate::places;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Why a place is searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// Named on the command line or by an embedder.
    Named,
    /// Named in the environment variable `KASMINA_PLUGIN_PATH`.
    Environment,
    /// The folder `plugins` in the working directory.
    Project,
    /// The folder of plugins in the user's data directory.
    User,
    /// The folder `plugins` beside the executable.
    Executable,
}

/// A folder or file in the search path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Place {
    /// Path of the folder or file.
    pub path: PathBuf,
    /// Why the place is searched.
    pub origin: Origin,
}

impl Place {
    /// Whether it is an error if the place does not exist: the user has named it.
    pub fn must_exist(&self) -> bool {
        matches!(self.origin, Origin::Named | Origin::Environment)
    }
}

/// Places in the order in which they are searched. Of several plugins with the same name, the first is used.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct SearchPath(Vec<Place>);

impl SearchPath {
    /// Returns a search path without places.
    pub fn empty() -> Self {
        Self::default()
    }

    /// Returns the named places, then those in `KASMINA_PLUGIN_PATH`, `./plugins`, the user's data directory,
    /// and `plugins` beside the executable.
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
        path.extend(places::plugins(), Origin::User);
        path.extend(bundled::folder(), Origin::Executable);
        path
    }

    /// Adds places at the end of the search path.
    pub fn extend(&mut self, places: impl IntoIterator<Item = PathBuf>, origin: Origin) {
        self.0.extend(places.into_iter().map(|path| Place { path, origin }));
    }

    /// Returns the places in the order of the search.
    pub fn places(&self) -> &[Place] {
        &self.0
    }
}

/// A file that may be a plugin, or a place that cannot be searched.
pub(crate) struct Candidate {
    pub(crate) path: Result<PathBuf, Refusal>,
    pub(crate) origin: Origin,
    /// Whether the place was named by itself, so that a refusal is an error.
    pub(crate) named: bool,
}

/// Returns the files of a search path that may be plugins, in the order of the search.
pub(crate) fn candidates(path: &SearchPath) -> Result<Vec<Candidate>, RegistryError> {
    let mut all = Vec::new();
    for place in path.places() {
        let origin = place.origin;
        let unreadable = |error: std::io::Error| RegistryError::Place {
            path: place.path.clone(),
            reason: error.to_string(),
        };
        if place.path.is_dir() {
            let owners = match origin {
                Origin::Executable => Owners::of_program(),
                _ => Owners::user(),
            };
            // In a folder of another user, each file is verified by itself.
            if let Err(exposed) = owners.check_folder(&place.path)
                && !exposed.is_foreign()
            {
                let refusal = exposed.refusal(&place.path);
                all.push(Candidate { path: Err(refusal), origin, named: place.must_exist() });
                continue;
            }
            match files(&place.path) {
                Ok(files) => {
                    all.extend(files.into_iter().map(|f| Candidate { path: Ok(f), origin, named: false }));
                }
                Err(error) if place.must_exist() => return Err(unreadable(error)),
                Err(_) => {}
            }
        } else if place.must_exist() {
            std::fs::symlink_metadata(&place.path).map_err(unreadable)?;
            all.push(Candidate { path: Ok(place.path.clone()), origin, named: true });
        }
    }
    Ok(all)
}

/// Returns the files of a folder that may be plugins, sorted by name.
fn files(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let library = path.extension().is_some_and(|e| e == "so");
        if library || declared::is_declared(&path) || declared::is_module(&path) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}
