//! TorchScript archives with another text of their code.

use std::io::{Cursor, Read as _, Write as _};
use std::path::Path;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

/// The archive with `edit` made to every record, by its name and bytes; everything else stays.
///
/// # Panics
/// If it is no archive, or nothing was edited.
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

/// The archive with `edit` made to every text of code that it has; everything else stays.
///
/// # Panics
/// If it is no archive, or nothing was edited.
pub fn edited(archive: &Path, edit: impl Fn(&str) -> Option<String>) -> Vec<u8> {
    with_edited_records(archive, |name, bytes| {
        let is_code = Path::new(name).extension().is_some_and(|end| end == "py");
        let text = is_code.then(|| String::from_utf8(bytes.to_vec()).unwrap())?;
        edit(&text).map(String::into_bytes)
    })
}

/// The archive with other bytes in the record of a name, which is below a folder.
///
/// # Panics
/// If it is no archive, or has no such record.
pub fn with_record(archive: &Path, record: &str, bytes: &[u8]) -> Vec<u8> {
    let is_record = |name: &str| name.split_once('/').is_some_and(|(_, name)| name == record);
    with_edited_records(archive, |name, _| is_record(name).then(|| bytes.to_vec()))
}

/// The archive with one piece of its code replaced.
pub fn replaced(archive: &Path, from: &str, to: &str) -> Vec<u8> {
    edited(archive, |text| text.contains(from).then(|| text.replace(from, to)))
}
