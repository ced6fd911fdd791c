//! What came of it, for people and for programs.

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
    /// It could not be tried; `detail` says why.
    Skipped,
    /// The process that tried it ended.
    Crashed,
    /// It did not answer in time.
    TimedOut,
}

impl Verdict {
    /// Name of the result in tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Skipped => "skipped",
            Self::Crashed => "crashed",
            Self::TimedOut => "timed_out",
        }
    }
    /// Whether a plugin with such a row is in order.
    pub const fn is_good(self) -> bool {
        matches!(self, Self::Pass | Self::Skipped)
    }
}

/// One check of one entry.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// `blueprint conv_light`; `plugin` for the file as a whole.
    pub entry: String,
    /// Name of the check.
    pub check: String,
    /// Result of the check.
    pub result: Verdict,
    /// What was expected and what came; a remark where it passed.
    pub detail: String,
    /// Duration of the check in seconds.
    pub seconds: f64,
    /// The command that does just this again.
    pub reproduce: String,
}

/// Every check of a plugin.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// The file, as it was named.
    pub file: PathBuf,
    /// Name of the plugin.
    pub plugin: String,
    /// Version of the plugin.
    pub version: String,
    /// SHA-256 of the plugin's file in hexadecimal digits.
    pub sha256: String,
    /// What everything random came from.
    pub seed: u64,
    /// Results of the checks, by entry.
    pub rows: Vec<Row>,
}

impl Report {
    /// Whether no check failed.
    pub fn passed(&self) -> bool {
        self.rows.iter().all(|row| row.result.is_good())
    }
    /// What did not go well.
    pub fn failures(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(|row| !row.result.is_good())
    }
    /// How many rows ended like this.
    pub fn count(&self, verdict: Verdict) -> usize {
        self.rows.iter().filter(|row| row.result == verdict).count()
    }
}

/// A plain table, and below it how to have each failure again.
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
            writeln!(f, "again, one by one:")?;
        }
        let mut told: Vec<&str> = Vec::new();
        for row in self.failures() {
            if !told.contains(&row.reproduce.as_str()) {
                writeln!(f, "  {}", row.reproduce)?;
                told.push(&row.reproduce);
            }
        }
        Ok(())
    }
}
