//! The record of the plugins and modules that this user's runs have used, by SHA-256. It is in the user's
//! state folder.

use crate::guard::FolderGuard;
use crate::ownership::Owners;
use crate::places;
use std::collections::BTreeSet;
use std::path::Path;

/// Name of the folder of copies in a run directory.
pub(crate) const COPIES: &str = "plugins";

/// Whether the record contains a hash.
pub(crate) fn contains(record: &Path, sha256: &str) -> bool {
    // A record that other users can write is not trusted.
    Owners::user().check(record).is_ok() && read(record).contains(sha256)
}

/// Adds a hash to the record. If the record cannot be written, resuming the run requires `--trust-run`.
pub(crate) fn add(record: &Path, sha256: &str) {
    // Another run may change the record at the same time. Without the lock, one of the hashes could be lost,
    // and resuming that run would require `--trust-run`.
    let _guard = places::make_folder_of(record).and_then(|()| FolderGuard::of(record));
    let mut all = read(record);
    if all.insert(sha256.to_owned()) {
        places::write_json(record, &all);
    }
}

fn read(record: &Path) -> BTreeSet<String> {
    places::read_json(record)
}
