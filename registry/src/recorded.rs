//! The record, in this user's own state folder, of which bytes this user's runs have used.

use crate::guard::FolderGuard;
use crate::ownership::Owners;
use crate::places;
use std::collections::BTreeSet;
use std::path::Path;

/// The folder of a run directory in which copies of plugins are kept.
pub(crate) const COPIES: &str = "plugins";

/// Whether this user has run these bytes.
pub(crate) fn contains(record: &Path, sha256: &str) -> bool {
    // A record that somebody else could have written records nothing.
    Owners::user().check(record).is_ok() && read(record).contains(sha256)
}

/// Records that this user runs these bytes. A record that cannot be kept makes a resume ask for
/// `--trust-run`.
pub(crate) fn add(record: &Path, sha256: &str) {
    // Another run may record its own meanwhile. Without the guard one of them asks for `--trust-run` later.
    let _alone = places::make_folder_of(record).and_then(|()| FolderGuard::of(record));
    let mut all = read(record);
    if all.insert(sha256.to_owned()) {
        places::write_json(record, &all);
    }
}

fn read(record: &Path) -> BTreeSet<String> {
    places::read_json(record)
}
