//! Folders of files.

use std::path::Path;

/// Copies a folder recursively.
///
/// # Panics
/// If a file cannot be read or written.
pub fn copy_tree(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("the folder can be made");
    for entry in std::fs::read_dir(from).expect("the folder can be read") {
        let entry = entry.expect("the folder can be read");
        let (path, to) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy_tree(&path, &to);
        } else {
            std::fs::copy(path, to).expect("the file can be copied");
        }
    }
}
