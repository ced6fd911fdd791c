//! Where plugins are looked for.

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
    /// Named by the variable `KASMINA_PLUGIN_PATH`.
    Environment,
    /// `plugins` of the working directory.
    Project,
    /// In the user's data directory.
    User,
    /// Beside the executable.
    Executable,
}

/// One place: a folder, or one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Place {
    /// Path of the folder or file.
    pub path: PathBuf,
    /// Why the place is searched.
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
    /// A search path without any place.
    pub fn empty() -> Self {
        Self::default()
    }

    /// What was named, then `KASMINA_PLUGIN_PATH`, `./plugins`, the user's data directory, and `plugins`
    /// beside the executable.
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

    /// Adds places at the end.
    pub fn extend(&mut self, places: impl IntoIterator<Item = PathBuf>, origin: Origin) {
        self.0.extend(places.into_iter().map(|path| Place { path, origin }));
    }

    /// Places in the order of the search.
    pub fn places(&self) -> &[Place] {
        &self.0
    }
}

/// A file that may be a plugin, or a place that cannot be searched.
pub(crate) struct Candidate {
    pub(crate) path: Result<PathBuf, Refusal>,
    pub(crate) origin: Origin,
    /// It was named by itself: a refusal is an error.
    pub(crate) named: bool,
}

/// The files to look at, in the order of the search.
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
            // Another user's files are judged one by one.
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

/// The files of a folder that may be plugins, sorted by name.
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
