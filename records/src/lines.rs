//! Reading the line files of a run directory.

use kasmina_files::limit;
use serde::de::DeserializeOwned;
use std::path::Path;

/// The lines of a file. A last line without its end is what a kill has left of it, and is not read.
///
/// # Errors
/// What is wrong, with the line.
pub fn lines<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>, String> {
    let bytes = kasmina_files::read(path, limit::JOURNAL).map_err(|e| e.to_string())?;
    let whole = bytes.iter().rposition(|b| *b == b'\n').map_or(0, |last| last + 1);
    let text = std::str::from_utf8(bytes.get(..whole).unwrap_or_default()).map_err(|e| e.to_string())?;
    text.lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty())
        .map(|(index, line)| {
            serde_json::from_str(line).map_err(|e| {
                // The reader counts one line: ours is the one that people look for.
                let text = e.to_string();
                let what = text.split(" at line ").next().unwrap_or_default();
                format!("line {}: {what}", index + 1)
            })
        })
        .collect()
}
