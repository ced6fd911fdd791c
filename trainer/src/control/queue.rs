//! The one queue that a training thread reads.

use super::message::{ControlMessage, Reply};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::Duration;

/// Time between two looks of a paused run at whether it was asked to stop.
const LOOK: Duration = Duration::from_millis(100);

/// The training thread's end of the queue. Without a sender it is empty for ever. The prunes that wait for
/// the end of an epoch are part of a run's state; a pause and who waits for an answer belong to live clients
/// and are not.
#[derive(Default)]
pub(crate) struct ControlQueue {
    messages: Option<Receiver<ControlMessage>>,
    /// Slots to be pruned at the end of the epoch, with who waits for an answer.
    prunes: Vec<(String, Option<Sender<Reply>>)>,
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
    pub(crate) fn keep_prune(&mut self, slot: String, reply: Option<Sender<Reply>>) {
        self.prunes.push((slot, reply));
    }

    /// The prunes that were asked for since the last epoch.
    pub(crate) fn take_prunes(&mut self) -> Vec<(String, Option<Sender<Reply>>)> {
        std::mem::take(&mut self.prunes)
    }

    /// The slots of the prunes that were asked for since the last epoch.
    pub(crate) fn asked_prunes(&self) -> impl Iterator<Item = &str> {
        self.prunes.iter().map(|(slot, _)| slot.as_str())
    }

    /// Reads these messages from now on.
    pub(crate) fn connect(&mut self, other: Self) {
        self.messages = other.messages;
    }

    /// Reads no messages any more. Whoever still waits for an answer is told that there is none.
    pub(crate) fn disconnect(&mut self) {
        self.messages = None;
        for (_, reply) in &mut self.prunes {
            *reply = None;
        }
    }
}
