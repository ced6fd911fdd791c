//! What does not fit between a file of weights and a host.

use std::fmt;

/// Number of names that are shown of each list.
const SHOWN: usize = 4;

/// Weights that do not fit.
#[derive(Debug, Default)]
pub(super) struct Report {
    /// Names of the host's weights that are not in the file.
    pub(super) missing: Vec<String>,
    /// Names in the file that the host does not have.
    pub(super) unexpected: Vec<String>,
    /// Weights of another shape, with both shapes.
    pub(super) reshaped: Vec<String>,
}

impl Report {
    pub(super) fn is_empty(&self) -> bool {
        self.missing.is_empty() && self.unexpected.is_empty() && self.reshaped.is_empty()
    }
}

/// One line for each kind of difference, each after a line break.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lists =
            [("missing", &self.missing), ("unexpected", &self.unexpected), ("other shape", &self.reshaped)];
        for (what, names) in lists.into_iter().filter(|(_, names)| !names.is_empty()) {
            write!(f, "\n  {what:<12}")?;
            let separator = if what == "other shape" { "; " } else { ", " };
            f.write_str(&names.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(separator))?;
            if names.len() > SHOWN {
                write!(f, " and {} more", names.len() - SHOWN)?;
            }
        }
        Ok(())
    }
}
