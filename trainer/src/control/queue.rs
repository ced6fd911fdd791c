//! The one queue that a training thread reads.

use super::message::{ControlMessage, Reply};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::Duration;

/// Time between two looks of a paused run at whether it was asked to stop.
const LOOK: Duration = Duration::from_millis(100);

/// The training thread's end of the queue. Without a sender it is empty for ever. A pause and the prunes that wait for
/// the end of an epoch last between two steps; they belong to live clients and are not part of a run's state.
#[derive(Default)]
pub(crate) struct ControlQueue {
    messages: Option<Receiver<ControlMessage>>,
    /// Slots to be pruned at the end of the epoch, with who waits for an answer.
    prunes: Vec<(String, Sender<Reply>)>,
    paused: bool,
}

impl ControlQueue {
    pub(super) fn new(messages: Receiver<ControlMessage>) -> Self {
        Self { messages: Some(messages), ..Self::default() }
    }

    /// The next message, if there is one; a paused run waits for it, until it is asked to stop.
    pub(crate) fn next(&self, stop: &AtomicBool) -> Option<ControlMessage> {
        let receiver = self.messages.as_ref()?;
        loop {
            if !self.paused || stop.load(Ordering::Relaxed) {
                return receiver.try_recv().ok();
            }
            match receiver.recv_timeout(LOOK) {
                Ok(message) => return Some(message),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return None,
            }
        }
    }

    pub(crate) fn set_paused(&mut self, paused: bool) {
        self.paused = paused;
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.paused
    }

    /// Keeps a prune for the end of the epoch.
    pub(crate) fn keep_prune(&mut self, slot: String, reply: Sender<Reply>) {
        self.prunes.push((slot, reply));
    }

    /// The prunes that were asked for since the last epoch.
    pub(crate) fn take_prunes(&mut self) -> Vec<(String, Sender<Reply>)> {
        std::mem::take(&mut self.prunes)
    }
}
