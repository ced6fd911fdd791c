//! The rows of a run directory: what a run writes, and what every reader of it takes.
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
//! A reader takes every row that a writer of the same version can write, numbers that are NaN or infinite
//! included. No tensor, no file format of torch: whoever reads runs needs no libtorch.

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
