//! Why the ranks cannot train together.

use crate::world::{StoreServer, WorldError};
use kasmina::consensus::ConsensusError;
use std::time::Duration;

/// Why this rank cannot go on with the others.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum RanksError {
    /// The environment does not describe a world.
    #[error(transparent)]
    World(#[from] WorldError),
    /// The store cannot be served or reached.
    #[error("rank {rank} cannot {} the store of the ranks at {host}:{port}: {reason}", if *serves { "serve" } else { "reach" })]
    Store {
        /// Number of this rank.
        rank: usize,
        /// Host of the store.
        host: String,
        /// Port of the store.
        port: u16,
        /// Whether this rank was to serve it.
        serves: bool,
        /// What libtorch said.
        reason: String,
    },
    /// Some ranks did not start in time.
    #[error("rank {} of {size} did not start within {:.0} s", list(missing), waited.as_secs_f64())]
    Absent {
        /// Ranks that did not start, from 0.
        missing: Vec<usize>,
        /// Number of ranks that were to start.
        size: usize,
        /// Time that this rank has waited.
        waited: Duration,
    },
    /// A rank was started for another run.
    #[error("rank {rank} on {host} differs from rank 0: {what} is `{theirs}` there, `{first}` on rank 0")]
    Differs {
        /// Number of the rank, from 0.
        rank: usize,
        /// Name of its machine.
        host: String,
        /// What differs.
        what: String,
        /// Its value on that rank.
        theirs: String,
        /// Its value on rank 0.
        first: String,
    },
    /// A rank has ended, or gives no sign of life.
    #[error("rank {rank} on {host} {what}")]
    Lost {
        /// Number of the rank, from 0.
        rank: usize,
        /// Name of its machine.
        host: String,
        /// What has happened to it.
        what: String,
    },
    /// The store has ended, or does not answer.
    #[error("the store of the ranks at {host}:{port}, which {} serves, does not answer: {reason}", match server { StoreServer::Launcher => "the launcher", StoreServer::FirstRank => "rank 0" })]
    StoreLost {
        /// Host of the store.
        host: String,
        /// Port of the store.
        port: u16,
        /// The process that serves it.
        server: StoreServer,
        /// What has failed.
        reason: String,
    },
    /// The ranks made no decision.
    #[error(transparent)]
    Votes(#[from] ConsensusError),
    /// The weights of a rank are not those of rank 0.
    #[error("the weights `{name}` of rank {rank} differ from those of rank 0")]
    Weights {
        /// Number of the rank, from 0.
        rank: usize,
        /// Name of the first tensor that differs.
        name: String,
    },
    /// A transfer between ranks failed, and every rank is alive.
    #[error("the exchange between ranks failed: {0}")]
    Transfer(String),
}

impl RanksError {
    /// What to do about the error.
    pub const fn help(&self) -> &'static str {
        match self {
            Self::World(error) => error.help(),
            Self::Store { serves: true, .. } => {
                "the port may be in use: choose another MASTER_PORT, or end the program that has it"
            }
            Self::Store { .. } => {
                "check that rank 0 runs, that its machine can be reached under this name, and that no firewall closes \
                 the port"
            }
            Self::Absent { .. } => {
                "check the logs of these ranks, and that as many were started as WORLD_SIZE says"
            }
            Self::Differs { .. } => "start every rank with the same command, files and plugins",
            Self::Weights { .. } => {
                "a module may compute differently on each rank: check that its plugin draws random numbers only in \
                 forward, and keeps no state that depends on the data"
            }
            Self::Lost { .. } | Self::StoreLost { .. } | Self::Transfer(_) | Self::Votes(_) => {
                "see the log of that rank (RUN/ranks); a launcher that restarts the ranks resumes the run from its \
                 newest checkpoint"
            }
        }
    }
}

fn list(ranks: &[usize]) -> String {
    ranks.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
