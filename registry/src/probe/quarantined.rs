//! Refuses files that have ended a child process before, and quarantines those that do.

use crate::error::{Refusal, Rule};
use crate::policy::Policy;
use crate::quarantine::Quarantine;
use crate::quote::quoted;
use std::path::Path;

/// A file that is about to be tried.
#[derive(Clone, Copy)]
pub(crate) struct TriedFile<'a> {
    pub(crate) path: &'a Path,
    pub(crate) sha256: &'a str,
    /// Name of the plugin or host module, by which the user can clear it.
    pub(crate) name: &'a str,
}

impl TriedFile<'_> {
    /// Refuses the file if it is in quarantine, or if the quarantine cannot be read.
    pub(crate) fn refuse_quarantined(self, policy: &Policy) -> Result<(), Refusal> {
        let Some(quarantine) = policy.quarantine.as_ref().map(Quarantine::in_file) else { return Ok(()) };
        match quarantine.find(self.sha256) {
            Ok(None) => Ok(()),
            Ok(Some(known)) => Err(self.refusal(&known.reason)),
            Err(error) => Err(Refusal {
                path: self.path.to_owned(),
                rule: Rule::Quarantine,
                found: format!("cannot check whether it is in quarantine: {error}"),
                remedy: error.help().unwrap_or_default(),
            }),
        }
    }

    /// Puts the file into quarantine, and returns its refusal.
    pub(crate) fn quarantine(self, policy: &Policy, reason: &str) -> Refusal {
        if let Some(quarantine) = policy.quarantine.as_ref().map(Quarantine::in_file) {
            quarantine.put(self.sha256, self.name, self.path, reason);
        }
        self.refusal(reason)
    }

    fn refusal(self, reason: &str) -> Refusal {
        let name = quoted(Path::new(self.name));
        Refusal {
            path: self.path.to_owned(),
            rule: Rule::Quarantine,
            found: format!("it is in quarantine: {reason}"),
            remedy: format!(
                "tell its author; `kasmina plugins quarantine clear {name}` to try these bytes again"
            ),
        }
    }
}
