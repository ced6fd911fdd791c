//! TorchScript archives with another text of their code.

#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]

use std::io::{Cursor, Read as _, Write as _};
use std::path::Path;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

/// The archive with `edit` made to every text of code that it has; everything else stays.
///
/// # Panics
/// If it is no archive, or nothing was edited.
pub fn edited(archive: &Path, edit: impl Fn(&str) -> Option<String>) -> Vec<u8> {
    let mut old = ZipArchive::new(std::fs::File::open(archive).unwrap()).unwrap();
    let mut new = ZipWriter::new(Cursor::new(Vec::new()));
    let mut changed = false;
    for index in 0..old.len() {
        let mut file = old.by_index(index).unwrap();
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).unwrap();
        let is_code = Path::new(file.name()).extension().is_some_and(|end| end == "py");
        let text = is_code.then(|| String::from_utf8(bytes.clone()).unwrap());
        if let Some(text) = text.and_then(|text| edit(&text)) {
            bytes = text.into_bytes();
            changed = true;
        }
        let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
        new.start_file(file.name(), stored).unwrap();
        new.write_all(&bytes).unwrap();
    }
    assert!(changed, "nothing was edited in {}", archive.display());
    new.finish().unwrap().into_inner()
}

/// The archive with one piece of its code replaced.
pub fn replaced(archive: &Path, from: &str, to: &str) -> Vec<u8> {
    edited(archive, |text| text.contains(from).then(|| text.replace(from, to)))
}
