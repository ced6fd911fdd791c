//! Reading the variables of a launcher.

use super::description::{Launcher, World};
use super::error::WorldError;

/// The variables that a launcher has set.
pub(super) struct Variables<'a> {
    launcher: &'static str,
    get: &'a dyn Fn(&str) -> Option<String>,
}

/// The numbers of a rank, each with the name of its variable.
pub(super) struct Numbers {
    pub(super) rank: &'static str,
    pub(super) size: &'static str,
    pub(super) local_rank: &'static str,
}

impl<'a> Variables<'a> {
    pub(super) fn new(launcher: &'static str, get: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self { launcher, get }
    }

    /// Returns a variable that may be missing.
    pub(super) fn find(&self, variable: &str) -> Option<String> {
        (self.get)(variable)
    }

    /// Returns a variable.
    ///
    /// # Errors
    /// If it is missing.
    pub(super) fn text(&self, variable: &'static str) -> Result<String, WorldError> {
        self.find(variable).ok_or(WorldError::Missing { launcher: self.launcher, variable })
    }

    /// Returns a variable that is a number.
    ///
    /// # Errors
    /// If it is missing or no number.
    pub(super) fn number(&self, variable: &'static str) -> Result<usize, WorldError> {
        let value = self.text(variable)?;
        value.parse().map_err(|_| wrong(variable, &value, "it is not a number from 0"))
    }

    /// Returns a number that may be missing, and is then 0.
    ///
    /// # Errors
    /// If it is no number.
    pub(super) fn count(&self, variable: &'static str) -> Result<u32, WorldError> {
        let Some(value) = self.find(variable) else { return Ok(0) };
        value.parse().map_err(|_| wrong(variable, &value, "it is not a number from 0"))
    }

    /// Returns the world of these numbers, without a rendezvous. `local_size` is the number of ranks of this
    /// machine and the variable that says so.
    ///
    /// # Errors
    /// If they contradict each other.
    pub(super) fn world(
        &self,
        launcher: Launcher,
        names: &Numbers,
        local: impl FnOnce() -> Result<(usize, &'static str), WorldError>,
    ) -> Result<World, WorldError> {
        let (rank, size) = (self.number(names.rank)?, self.number(names.size)?);
        let local_rank = self.number(names.local_rank)?;
        let (local_size, local_name) = local()?;
        let told = |variable: &'static str, number: usize, reason: String| {
            Err(WorldError::Variable { variable, value: number.to_string(), reason })
        };
        if size == 0 {
            return told(names.size, size, "there must be at least one rank".to_owned());
        }
        if rank >= size {
            return told(names.rank, rank, format!("it must be less than {}, which is {size}", names.size));
        }
        if local_size > size {
            return told(local_name, local_size, format!("it is more than {}, which is {size}", names.size));
        }
        if local_rank >= local_size {
            let reason = format!("it must be less than {local_name}, which is {local_size}");
            return told(names.local_rank, local_rank, reason);
        }
        Ok(World { launcher, rank, size, local_rank, local_size, restarts: 0, rendezvous: None })
    }
}

/// Returns the error of a value that cannot be used.
pub(super) fn wrong(variable: &'static str, value: &str, reason: &str) -> WorldError {
    WorldError::Variable { variable, value: value.to_owned(), reason: reason.to_owned() }
}
