//! Whoever can write a file or the folder that it lies in can run code in every process that loads it.

use crate::error::{Refusal, Rule};
use std::fs::Metadata;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

const OTHERS_WRITE: u32 = 0o002;
const STICKY: u32 = 0o1000;

/// Refuses a file that everybody may write, or exchange in its folder.
pub(crate) fn file(path: &Path) -> Result<(), Refusal> {
    // Where it really lies, behind every link.
    let Ok(real) = path.canonicalize() else { return Ok(()) };
    if open_to_others(&real) {
        return Err(refusal(path, "everybody may write it", &real));
    }
    match real.parent() {
        // In a sticky folder nobody takes away what is not his own.
        Some(folder) if open_to_others(folder) && !has(folder, STICKY) => {
            Err(refusal(path, &format!("everybody may exchange it in {}", folder.display()), folder))
        }
        _ => Ok(()),
    }
}

/// Refuses to search a folder that everybody may put files into.
pub(crate) fn folder(path: &Path) -> Result<(), Refusal> {
    if open_to_others(path) {
        return Err(refusal(path, "everybody may put files into this folder", path));
    }
    Ok(())
}

fn open_to_others(path: &Path) -> bool {
    has(path, OTHERS_WRITE)
}

fn has(path: &Path, bits: u32) -> bool {
    std::fs::metadata(path).is_ok_and(|m: Metadata| m.permissions().mode() & bits != 0)
}

fn refusal(path: &Path, found: &str, close: &Path) -> Refusal {
    Refusal {
        path: path.to_owned(),
        rule: Rule::Permissions,
        found: found.to_owned(),
        remedy: format!("close it: chmod o-w '{}'", close.display()),
    }
}
