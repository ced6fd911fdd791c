//! Runs: preparation, which writes nothing, then the training loop, the run directory and the checkpoints.

mod checkpoint;
mod commands;
mod dir;
mod epoch;
mod epochs;
mod evaluate;
mod generators;
mod health;
mod host;
mod init;
mod journals;
mod last_try;
mod live_journal;
mod lock;
mod meet;
mod model_config;
mod nonfinite;
mod observer;
mod prepare;
mod progress;
mod ranks;
mod recover;
mod report;
mod requests;
mod save;
mod summary;
mod swap;
mod swap_on_ranks;
mod tally;
mod train;
mod trainer;
mod training;
mod validation;

pub use checkpoint::{
    Choice, Opened, Place, ResumeOptions, Resumption, Saved, SavedBuilds, SavedNetwork, has_checkpoints,
    input_hashes, tensor_of,
};
pub use dir::RunDir;
pub use evaluate::{Evaluation, WithoutSeed, evaluate};
pub use init::NamedWeights;
pub use kasmina_records::{
    CommandRow, EpochReport, ErrorRow, LIVE_JOURNAL, LiveAct, LiveRow, PluginSummary, SeedFate, SlotInfo,
    SlotRow, Status, Summary,
};
pub use observer::Observer;
pub use trainer::Trainer;
