//! Many builds of one plugin, without a compiler.

use crate::fixture;
use std::path::PathBuf;

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

    /// A build that behaves as its mode says (see the fixture).
    ///
    /// # Panics
    /// If the fixture is not there.
    pub fn make(&self, mode: char, mark: u32) -> PathBuf {
        let mut bytes = std::fs::read(fixture("waver")).expect("the fixture can be copied");
        let text = b"WAVER-MODE=";
        let at = bytes.windows(text.len()).position(|w| w == text).expect("the fixture carries its mode");
        bytes[at + text.len()] = mode as u8;
        // What stands behind the last section of a library is read by nobody.
        bytes.extend(mark.to_le_bytes());
        let path = self.0.path().join(format!("waver-{mode}{mark}.so"));
        std::fs::write(&path, bytes).expect("the fixture can be copied");
        path
    }
}
