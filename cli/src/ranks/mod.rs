//! Running a command on several ranks: what each process prints, and starting the processes.

pub(crate) mod launch;
mod output;

pub(crate) use output::RankOutput;

use crate::failure::Failure;
use kasmina_ranks::{Link, Messages, World};
use kasmina_trainer::{TrainError, device};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// This process among the ranks of a run.
pub(crate) struct Ranks {
    pub(crate) world: World,
    link: Option<Arc<Link>>,
}

impl Ranks {
    /// Reads which ranks there are from the environment.
    pub(crate) fn from_environment() -> Result<Self, Failure> {
        let world = World::from_environment().map_err(|e| Failure::new(&e).with_help(e.help()))?;
        Ok(Self { world, link: None })
    }

    /// Returns the device of this rank, one of several.
    pub(crate) fn device(&self, name: &str) -> Result<String, TrainError> {
        device::of_rank(name, self.world.local_rank, self.world.local_size)
    }

    /// Connects this rank with the others.
    pub(crate) fn join(&mut self, limit_seconds: f64) -> Result<(), TrainError> {
        self.link = Link::join(&self.world, Duration::from_secs_f64(limit_seconds))?;
        Ok(())
    }

    /// Returns the connection with the other ranks; `None` if there is one rank.
    pub(crate) fn link(&self) -> Option<&Arc<Link>> {
        self.link.as_ref()
    }

    /// Returns the directory that rank 0 has chosen.
    pub(crate) fn directory(&self, mine: PathBuf) -> Result<PathBuf, TrainError> {
        let Some(link) = &self.link else { return Ok(mine) };
        // The text is UTF-8, because the configuration of a run must name its paths.
        let text = mine.to_string_lossy().into_owned();
        let first = Messages::new(link, "directory").from_first(text.as_bytes())?;
        Ok(PathBuf::from(String::from_utf8_lossy(&first).into_owned()))
    }

    /// Tells the other ranks of an error of this one, and returns it.
    pub(crate) fn failed<E: std::fmt::Display>(&self, error: E) -> E {
        if let Some(link) = &self.link {
            link.fail(&error.to_string());
        }
        error
    }
}
