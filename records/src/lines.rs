//! Reading the line files of a run directory.

use kasmina_files::limit;
use serde::de::DeserializeOwned;
use std::path::Path;

/// Reads the rows of a file, one per line. A last line without a line break is ignored, because the process
/// that wrote it was killed.
///
/// # Errors
/// If the file cannot be read, or a line is not a row; the message contains the number of the line.
pub fn lines<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>, String> {
    let bytes = kasmina_files::read(path, limit::JOURNAL).map_err(|e| e.to_string())?;
    let complete = bytes.iter().rposition(|b| *b == b'\n').map_or(0, |last| last + 1);
    let text = std::str::from_utf8(bytes.get(..complete).unwrap_or_default()).map_err(|e| e.to_string())?;
    text.lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty())
        .map(|(index, line)| {
            serde_json::from_str(line).map_err(|e| {
                // The parser sees one line and says `at line 1`; the message needs the line of the file.
                let text = e.to_string();
                let what = text.split(" at line ").next().unwrap_or_default();
                format!("line {}: {what}", index + 1)
            })
        })
        .collect()
}
