//! Step `snapshots` of `cargo xtask ci`: finds checked-in snapshots that no test asserts.
//!
//! insta appends the path of each snapshot that it compares to the file that [`RECORD_VARIABLE`] names.
//! `cargo xtask test` sets the variable, and this check reads the file afterwards.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::repo::Repo;

/// Environment variable from which insta reads the path of the record.
pub(crate) const RECORD_VARIABLE: &str = "INSTA_SNAPSHOT_REFERENCES_FILE";

/// Path of the record of the last full test run.
pub(crate) fn record(repo: &Repo) -> Result<PathBuf> {
    Ok(repo.target()?.join("insta-references.txt"))
}

/// Returns the checked-in snapshots that no test used in the last full test run.
pub(crate) fn unreferenced(repo: &Repo) -> Result<Vec<String>> {
    let snapshots: Vec<String> = repo.files()?.into_iter().filter(|path| is_snapshot(path)).collect();
    if snapshots.is_empty() {
        return Ok(snapshots);
    }
    let record = record(repo)?;
    let used = fs::read_to_string(&record).with_context(|| {
        format!(
            "cannot read {}, which records the snapshots that the tests use: run `cargo xtask test` first",
            record.display()
        )
    })?;
    Ok(missing_from(repo.root(), snapshots, &used))
}

fn is_snapshot(path: &str) -> bool {
    let path = Path::new(path);
    path.extension().is_some_and(|extension| extension == "snap")
        && path.parent().is_some_and(|dir| dir.ends_with("snapshots"))
}

/// Returns the snapshots that `used`, one path a line, does not name. Both sides are canonicalized, because
/// paths of one file may differ in spelling (`..`, links).
fn missing_from(root: &Path, snapshots: Vec<String>, used: &str) -> Vec<String> {
    let used: HashSet<PathBuf> =
        used.lines().filter_map(|line| root.join(line).canonicalize().ok()).collect();
    let referenced = |path: &String| root.join(path).canonicalize().is_ok_and(|path| used.contains(&path));
    snapshots.into_iter().filter(|path| !referenced(path)).collect()
}

#[cfg(test)]
mod spec {
    use super::{is_snapshot, missing_from};
    use std::fs;

    #[test]
    fn only_snapshots_that_no_test_used_are_reported() -> anyhow::Result<()> {
        let root = tempfile::tempdir()?;
        let dir = root.path().join("cli/tests/snapshots");
        fs::create_dir_all(&dir)?;
        for name in ["used.snap", "stale.snap"] {
            fs::write(dir.join(name), "")?;
        }
        let used = format!("{}\n", root.path().join("cli/src/../tests/snapshots/used.snap").display());
        fs::create_dir(root.path().join("cli/src"))?;
        let all =
            vec!["cli/tests/snapshots/used.snap".to_owned(), "cli/tests/snapshots/stale.snap".to_owned()];
        assert_eq!(missing_from(root.path(), all, &used), ["cli/tests/snapshots/stale.snap"]);
        Ok(())
    }

    #[test]
    fn snapshots_are_recognized_by_folder_and_extension() {
        assert!(is_snapshot("cli/tests/snapshots/a.snap"));
        assert!(!is_snapshot("cli/tests/a.snap"));
        assert!(!is_snapshot("cli/tests/snapshots/a.snap.new"));
    }
}
