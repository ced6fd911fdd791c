//! Many builds of one plugin, without a compiler.

use crate::fixture;
use std::path::{Path, PathBuf};

/// Builds of one blend: each behaves as its mode says, and each mark makes other bytes of the same behaviour.
#[derive(Debug)]
pub struct Builds(tempfile::TempDir);

impl Builds {
    /// None yet.
    ///
    /// # Panics
    /// If there is no room for them.
    #[expect(clippy::new_without_default, reason = "it makes a folder")]
    pub fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder for builds"))
    }

    /// A build of `fixture_waver` that behaves as its mode says; another mark makes other bytes of the same behaviour.
    ///
    /// # Panics
    /// If the fixture is not there.
    pub fn make(&self, mode: char, mark: u32) -> PathBuf {
        self.of("waver", mode, mark)
    }

    /// A build of a fixture that carries `NAME-MODE=` somewhere.
    ///
    /// # Panics
    /// If the fixture is not there, or carries no mode.
    pub fn of(&self, name: &str, mode: char, mark: u32) -> PathBuf {
        let mut bytes = std::fs::read(fixture(name)).expect("the fixture can be read");
        let text = format!("{}-MODE=", name.to_uppercase()).into_bytes();
        let at = bytes.windows(text.len()).position(|w| w == text).expect("the fixture carries its mode");
        bytes[at + text.len()] = mode as u8;
        // What stands behind the last section of a library is read by nobody.
        bytes.extend(mark.to_le_bytes());
        let path = self.0.path().join(format!("lib{name}_{mode}{mark}.so"));
        std::fs::write(&path, bytes).expect("the build can be written");
        path
    }

    /// Folder of the builds.
    pub fn folder(&self) -> &Path {
        self.0.path()
    }
}
