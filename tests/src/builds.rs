//! Many builds of one plugin, made without a compiler by changing a byte of its file.

use crate::behaviours::Behaviour;
use crate::fixture;
use std::path::{Path, PathBuf};

/// A temporary folder with builds of the fixtures whose behaviour one byte selects.
#[derive(Debug)]
pub struct Builds(tempfile::TempDir);

impl Builds {
    /// Creates an empty folder for builds.
    ///
    /// # Panics
    /// If the folder cannot be created.
    #[expect(clippy::new_without_default, reason = "it creates a folder")]
    pub fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder for builds can be created"))
    }

    /// Writes a build of a fixture with a behaviour and returns its path. Builds of the same behaviour with
    /// different marks differ in their bytes, and so in their hash.
    ///
    /// # Panics
    /// If the fixture cannot be read, or does not contain `NAME-MODE=`.
    pub fn make<B: Behaviour>(&self, behaviour: B, mark: u32) -> PathBuf {
        let name = B::FIXTURE;
        let mut bytes = std::fs::read(fixture(name)).expect("the fixture can be read");
        let text = format!("{}-MODE=", name.to_uppercase()).into_bytes();
        let at = bytes.windows(text.len()).position(|w| w == text).expect("the fixture carries its mode");
        bytes[at + text.len()] = behaviour.byte();
        // Bytes behind the last section of a library are never read.
        bytes.extend(mark.to_le_bytes());
        let path = self.0.path().join(format!("lib{name}_{behaviour:?}{mark}.so"));
        std::fs::write(&path, bytes).expect("the build can be written");
        path
    }

    /// Returns the folder of the builds.
    pub fn folder(&self) -> &Path {
        self.0.path()
    }
}
