//! One run: prepared whole before anything is written, then epoch after epoch.

mod commands;
mod dir;
mod epoch;
mod epochs;
mod host;
pub(crate) mod journal;
mod observer;
mod prepare;
mod recover;
mod report;
mod requests;
mod summary;
mod train;
mod trainer;
mod training;

pub use dir::RunDir;
pub use observer::Observer;
pub use report::{CommandRow, EpochReport, ErrorRow, SlotInfo, SlotRow};
pub use summary::{PluginSummary, SeedFate, Status, Summary};
pub use trainer::Trainer;
