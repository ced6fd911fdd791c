//! The rows of the files in a run directory, for writers and readers.
//!
//! | file | rows |
//! |---|---|
//! | `metrics.jsonl` | [`EpochReport`] |
//! | `events.jsonl` | [`EventLine`] |
//! | `commands.jsonl` | [`CommandRow`] |
//! | `control.jsonl` | [`LiveRow`] |
//! | `slots.json` | a list of [`SlotInfo`] |
//! | `summary.json` | [`Summary`] |
//!
//! Every row that this version can write can be read again, including numbers that are NaN or infinite. This
//! crate does not depend on torch, so that programs that read runs need no libtorch.

#![forbid(unsafe_code)]

mod command;
mod epoch;
mod event;
mod lines;
mod live;
mod reward;
mod summary;

pub use command::{COMMANDS, CommandRow, ErrorRow};
pub use epoch::{EpochReport, METRICS, SlotInfo, SlotRow};
pub use event::{EVENTS, EventLine};
pub use lines::lines;
pub use live::{LIVE_JOURNAL, LiveAct, LiveRow};
pub use reward::Reward;
pub use summary::{PluginSummary, SeedFate, Status, Summary};
