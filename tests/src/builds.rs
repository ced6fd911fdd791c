//! Many builds of one plugin, without a compiler.

use crate::behaviours::Behaviour;
use crate::fixture;
use std::path::{Path, PathBuf};

/// Builds of the fixtures whose behaviour a byte decides.
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

    /// A build of a fixture with a behaviour; another mark makes other bytes of the same behaviour.
    ///
    /// # Panics
    /// If the fixture is not there, or does not carry `NAME-MODE=` somewhere.
    pub fn make<B: Behaviour>(&self, behaviour: B, mark: u32) -> PathBuf {
        let name = B::FIXTURE;
        let mut bytes = std::fs::read(fixture(name)).expect("the fixture can be read");
        let text = format!("{}-MODE=", name.to_uppercase()).into_bytes();
        let at = bytes.windows(text.len()).position(|w| w == text).expect("the fixture carries its mode");
        bytes[at + text.len()] = behaviour.byte();
        // What stands behind the last section of a library is read by nobody.
        bytes.extend(mark.to_le_bytes());
        let path = self.0.path().join(format!("lib{name}_{behaviour:?}{mark}.so"));
        std::fs::write(&path, bytes).expect("the build can be written");
        path
    }

    /// Folder of the builds.
    pub fn folder(&self) -> &Path {
        self.0.path()
    }
}
