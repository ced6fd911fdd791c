//! Who sees a run as it goes.

use super::checkpoint::Saved;
use kasmina::lifecycle::Event;
use kasmina_records::EpochReport;

/// Sees a run as it goes.
pub trait Observer {
    /// Called after each epoch.
    fn epoch(&mut self, _report: &EpochReport, _epochs: u32) {}
    /// A checkpoint has reached the disk.
    fn saved(&mut self, _saved: &Saved) {}
    /// Something happened in a slot.
    fn event(&mut self, _epoch: u32, _event: &Event) {}
}

/// An observer that ignores everything.
impl Observer for () {}
