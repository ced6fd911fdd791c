//! One run: prepared whole before anything is written, then epoch after epoch.

mod checkpoint;
mod commands;
mod dir;
mod epoch;
mod epochs;
mod health;
mod host;
pub(crate) mod journal;
mod journals;
mod live_journal;
mod lock;
mod nonfinite;
mod observer;
mod outcome;
mod prepare;
mod progress;
mod recover;
mod report;
mod requests;
mod save;
mod summary;
mod swap;
mod tally;
mod train;
mod trainer;
mod training;

pub use checkpoint::{Opened, ResumeOptions, Resumption, Saved};
pub use dir::RunDir;
pub use live_journal::{LIVE_JOURNAL, LiveAct, LiveRow};
pub use observer::Observer;
pub use outcome::{PluginSummary, SeedFate};
pub use report::{CommandRow, EpochReport, ErrorRow, SlotInfo, SlotRow};
pub use summary::{Status, Summary};
pub use trainer::Trainer;
