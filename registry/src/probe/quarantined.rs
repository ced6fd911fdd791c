//! Files that have ended a process before are not tried again.

use crate::error::{Refusal, Rule};
use crate::policy::Policy;
use crate::quarantine::Quarantine;
use crate::quote::quoted;
use std::path::Path;

/// A file that is about to be tried.
#[derive(Clone, Copy)]
pub(crate) struct Suspect<'a> {
    pub(crate) path: &'a Path,
    pub(crate) sha256: &'a str,
    /// The name by which it can be let out of quarantine.
    pub(crate) name: &'a str,
}

impl Suspect<'_> {
    /// Refuses it if it has ended a process before, or if that cannot be known.
    pub(crate) fn refuse(self, policy: &Policy) -> Result<(), Refusal> {
        let Some(quarantine) = policy.quarantine.as_ref().map(Quarantine::in_file) else { return Ok(()) };
        match quarantine.find(self.sha256) {
            Ok(None) => Ok(()),
            Ok(Some(known)) => Err(self.quarantined(&known.reason)),
            Err(error) => Err(Refusal {
                path: self.path.to_owned(),
                rule: Rule::Quarantine,
                found: format!("whether it is in quarantine cannot be known: {error}"),
                remedy: error.help().unwrap_or_default(),
            }),
        }
    }

    /// Puts it into quarantine, and refuses it.
    pub(crate) fn put(self, policy: &Policy, reason: &str) -> Refusal {
        if let Some(quarantine) = policy.quarantine.as_ref().map(Quarantine::in_file) {
            quarantine.put(self.sha256, self.name, self.path, reason);
        }
        self.quarantined(reason)
    }

    fn quarantined(self, reason: &str) -> Refusal {
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
