//! Edits of TorchScript archives: code and records replaced.

use std::io::{Cursor, Read as _, Write as _};
use std::path::Path;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

/// Returns the archive with every record replaced for which `edit(name, bytes)` returns other bytes.
///
/// # Panics
/// If the file is no archive, or `edit` changes nothing.
fn with_edited_records(archive: &Path, edit: impl Fn(&str, &[u8]) -> Option<Vec<u8>>) -> Vec<u8> {
    let mut old = ZipArchive::new(std::fs::File::open(archive).unwrap()).unwrap();
    let mut new = ZipWriter::new(Cursor::new(Vec::new()));
    let mut changed = false;
    for index in 0..old.len() {
        let mut file = old.by_index(index).unwrap();
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).unwrap();
        if let Some(other) = edit(file.name(), &bytes) {
            bytes = other;
            changed = true;
        }
        let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
        new.start_file(file.name(), stored).unwrap();
        new.write_all(&bytes).unwrap();
    }
    assert!(changed, "nothing was edited in {}", archive.display());
    new.finish().unwrap().into_inner()
}

/// Returns the archive with every code file (`*.py`) replaced for which `edit(text)` returns another text.
///
/// # Panics
/// If the file is no archive, or `edit` changes nothing.
pub fn edited(archive: &Path, edit: impl Fn(&str) -> Option<String>) -> Vec<u8> {
    with_edited_records(archive, |name, bytes| {
        let is_code = Path::new(name).extension().is_some_and(|end| end == "py");
        let text = is_code.then(|| String::from_utf8(bytes.to_vec()).unwrap())?;
        edit(&text).map(String::into_bytes)
    })
}

/// Returns the archive with other bytes in one record. `record` is the name below the archive's top folder.
///
/// # Panics
/// If the file is no archive, or has no such record.
pub fn with_record(archive: &Path, record: &str, bytes: &[u8]) -> Vec<u8> {
    let is_record = |name: &str| name.split_once('/').is_some_and(|(_, name)| name == record);
    with_edited_records(archive, |name, _| is_record(name).then(|| bytes.to_vec()))
}

/// Returns the archive with every occurrence of `from` in its code replaced by `to`.
///
/// # Panics
/// If the file is no archive, or its code does not contain `from`.
pub fn replaced(archive: &Path, from: &str, to: &str) -> Vec<u8> {
    edited(archive, |text| text.contains(from).then(|| text.replace(from, to)))
}
