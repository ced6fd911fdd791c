//! The queue of messages that the training thread reads between two steps.

use super::message::{ControlMessage, Reply};
use kasmina_registry::{RegistryError, Staged};
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::Duration;

/// Time between two checks of a paused run for a request to stop.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// The training thread's end of the queue. Without a sender it is always empty. Checkpoints contain the slots
/// of the pending prunes, but neither the pause nor the clients that wait for a reply.
#[derive(Default)]
pub(crate) struct ControlQueue {
    messages: Option<Receiver<ControlMessage>>,
    /// Slots to prune at the end of the epoch, with the sender of the reply if a client waits for one.
    prunes: Vec<(String, Option<Sender<Reply>>)>,
    /// With several ranks: slots to prune, of which the other ranks do not know yet, with the senders of
    /// replies.
    pub(crate) wanted: VecDeque<(String, Sender<Reply>)>,
    /// With several ranks: new builds, of which the other ranks do not know yet.
    pub(crate) builds: VecDeque<Build>,
    paused: bool,
}

/// The path of a build, the opened build or the error that refused it, and the sender of a reply.
pub(crate) type Build = (PathBuf, Result<Staged, RegistryError>, Option<Sender<Reply>>);

impl ControlQueue {
    pub(super) fn new(messages: Receiver<ControlMessage>) -> Self {
        Self { messages: Some(messages), ..Self::default() }
    }

    /// Returns the next message, if there is one. While the run is paused, waits for a message or a stop.
    pub(crate) fn next(&self, stop: &AtomicBool) -> Option<ControlMessage> {
        let receiver = self.messages.as_ref()?;
        loop {
            if !self.paused || stop.load(Ordering::Relaxed) {
                return receiver.try_recv().ok();
            }
            match receiver.recv_timeout(POLL_INTERVAL) {
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

    /// Adds a prune, to be executed at the end of the epoch.
    pub(crate) fn add_prune(&mut self, slot: String, reply: Option<Sender<Reply>>) {
        self.prunes.push((slot, reply));
    }

    /// Takes out the pending prunes.
    pub(crate) fn take_prunes(&mut self) -> Vec<(String, Option<Sender<Reply>>)> {
        std::mem::take(&mut self.prunes)
    }

    /// Returns the slots of the pending prunes.
    pub(crate) fn pending_prunes(&self) -> impl Iterator<Item = &str> {
        self.prunes.iter().map(|(slot, _)| slot.as_str())
    }

    /// Reads the messages of another queue from now on.
    pub(crate) fn connect(&mut self, other: Self) {
        self.messages = other.messages;
    }

    /// Stops reading messages. Drops the senders of replies, so that waiting clients get an error.
    pub(crate) fn disconnect(&mut self) {
        self.messages = None;
        for (_, reply) in &mut self.prunes {
            *reply = None;
        }
    }
}
