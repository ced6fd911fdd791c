//! The report of the checks, as text and as JSON.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::PathBuf;

/// Result of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Verdict {
    /// The promise was kept.
    Pass,
    /// The promise was broken.
    Fail,
    /// The check could not be run; `detail` contains the reason.
    Skipped,
    /// The child process ended during the check.
    Crashed,
    /// The check did not finish within the time limit.
    TimedOut,
}

impl Verdict {
    /// Returns the name of the result in tables and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Skipped => "skipped",
            Self::Crashed => "crashed",
            Self::TimedOut => "timed_out",
        }
    }
    /// Whether the result is not a failure: the check passed or was skipped.
    pub const fn is_good(self) -> bool {
        matches!(self, Self::Pass | Self::Skipped)
    }
}

/// Result of one check of one entry.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// Kind and id of the entry, for example `blueprint conv_light`; `plugin` for the whole file.
    pub entry: String,
    /// Name of the check.
    pub check: String,
    /// Result of the check.
    pub result: Verdict,
    /// What was expected and what was found; a remark if the check passed.
    pub detail: String,
    /// Duration of the check in seconds.
    pub seconds: f64,
    /// The command that repeats only this check.
    pub reproduce: String,
}

/// Results of the checks of a plugin.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Path of the plugin file, as given.
    pub file: PathBuf,
    /// Name of the plugin.
    pub plugin: String,
    /// Version of the plugin.
    pub version: String,
    /// SHA-256 of the plugin's file in hexadecimal digits.
    pub sha256: String,
    /// Seed of all random numbers.
    pub seed: u64,
    /// Results of the checks, in the order of entries and checks.
    pub rows: Vec<Row>,
}

impl Report {
    /// Whether no check failed.
    pub fn passed(&self) -> bool {
        self.rows.iter().all(|row| row.result.is_good())
    }
    /// Returns the rows of failed checks.
    pub fn failures(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(|row| !row.result.is_good())
    }
    /// Returns the number of rows with this result.
    pub fn count(&self, verdict: Verdict) -> usize {
        self.rows.iter().filter(|row| row.result == verdict).count()
    }
}

/// A table, followed by the commands that repeat the failed checks.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hash = self.sha256.get(..12).unwrap_or(&self.sha256);
        writeln!(f, "{} {} ({hash}), seed {}", self.plugin, self.version, self.seed)?;
        let width = |head: &str, of: fn(&Row) -> usize| {
            self.rows.iter().map(of).chain([head.len()]).max().unwrap_or_default()
        };
        let (entry, check) = (width("ENTRY", |r| r.entry.len()), width("CHECK", |r| r.check.len()));
        writeln!(f, "{:entry$}  {:check$}  {:9}  {:>7}  DETAIL", "ENTRY", "CHECK", "RESULT", "SECONDS")?;
        for row in &self.rows {
            let detail = row.detail.replace('\n', " ");
            let line = format!(
                "{:entry$}  {:check$}  {:9}  {:7.2}  {detail}",
                row.entry,
                row.check,
                row.result.as_str(),
                row.seconds,
            );
            writeln!(f, "{}", line.trim_end())?;
        }
        let failures = self.failures().count();
        writeln!(
            f,
            "{} passed, {failures} failed, {} skipped",
            self.count(Verdict::Pass),
            self.count(Verdict::Skipped),
        )?;
        if failures > 0 {
            writeln!(f, "to repeat the failed checks:")?;
        }
        let mut printed: Vec<&str> = Vec::new();
        for row in self.failures() {
            if !printed.contains(&row.reproduce.as_str()) {
                writeln!(f, "  {}", row.reproduce)?;
                printed.push(&row.reproduce);
            }
        }
        Ok(())
    }
}
