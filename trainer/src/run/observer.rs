//! The trait of observers, by which a program follows a run.

use super::checkpoint::Saved;
use kasmina::lifecycle::Event;
use kasmina_records::EpochReport;
use std::path::Path;

/// Is notified of the progress of a run. The default methods do nothing.
pub trait Observer {
    /// Called on every rank when the run directory is open; without several ranks it is not called.
    fn opened(&mut self, _run: &Path) {}
    /// Called after each epoch; the second argument is the number of epochs of the run.
    fn epoch(&mut self, _report: &EpochReport, _epochs: u32) {}
    /// Called after a checkpoint has reached the disk.
    fn saved(&mut self, _saved: &Saved) {}
    /// Called for each event; the first argument is the epoch.
    fn event(&mut self, _epoch: u32, _event: &Event) {}
}

/// An observer that ignores everything.
impl Observer for () {}
