//! Meetings of the ranks between two steps: all stop, save and prune together.

use super::ranks::{Found, NewBuild, Requested};
use super::swap::rule_of;
use super::trainer::Trainer;
use crate::control::Build;
use crate::error::TrainError;
use kasmina_records::LiveAct;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};

impl Trainer<'_> {
    /// Meets the other ranks if one has requested it. A single rank does nothing.
    ///
    /// # Errors
    /// If a rank is lost.
    pub(super) fn meet(&mut self, stop: &AtomicBool) -> Result<(), TrainError> {
        let Some(ranks) = &mut self.ranks else { return Ok(()) };
        let stops = stop.load(Ordering::Relaxed);
        let waiting = !self.queue.wanted.is_empty() || !self.queue.builds.is_empty();
        if stops && !ranks.stopping || waiting {
            ranks.attention.request();
        }
        if !ranks.attention.is_due() {
            return Ok(());
        }
        let step = self.training.model.step();
        let wanted = std::mem::take(&mut self.queue.wanted);
        let builds = std::mem::take(&mut self.queue.builds);
        let mine = Requested {
            stop: stops,
            save: self.saver.as_ref().is_some_and(|saver| saver.is_due(super::checkpoint::When::Step, step)),
            prunes: wanted.iter().map(|(slot, _)| slot.clone()).collect(),
            builds: builds.iter().map(new_build).collect(),
        };
        let all = ranks.exchange(&mine)?;
        let rank = ranks.link.world().rank;
        if all.iter().any(|requested| requested.stop) {
            ranks.stopping = true;
            stop.store(true, Ordering::Relaxed);
        }
        let mut replies: VecDeque<_> = wanted.into_iter().map(|(_, reply)| reply).collect();
        for (other, requested) in all.iter().enumerate() {
            for slot in &requested.prunes {
                self.write_ahead(LiveAct::Prune { slot: slot.clone() });
                let reply = if other == rank { replies.pop_front() } else { None };
                self.queue.add_prune(slot.clone(), reply);
            }
        }
        self.swap_on_ranks(&all, builds)?;
        if all.iter().any(|requested| requested.save) {
            self.save(false)?;
        }
        Ok(())
    }

    /// Whether the run stops before the next step. Several ranks stop together.
    pub(super) fn is_stopping(&self, stop: &AtomicBool) -> bool {
        self.ranks.as_ref().map_or_else(|| stop.load(Ordering::Relaxed), |ranks| ranks.stopping)
    }

    /// Whether the run stops after an epoch. Several ranks ask each other.
    ///
    /// # Errors
    /// If a rank is lost.
    pub(super) fn is_stopping_after_epoch(&mut self, stop: &AtomicBool) -> Result<bool, TrainError> {
        let mine = stop.load(Ordering::Relaxed);
        let Some(ranks) = &mut self.ranks else { return Ok(mine) };
        let all = ranks.exchange(&Requested { stop: mine, ..Requested::default() })?;
        ranks.stopping |= all.iter().any(|requested| requested.stop);
        stop.fetch_or(ranks.stopping, Ordering::Relaxed);
        Ok(ranks.stopping)
    }
}

/// Returns what the other ranks need to know about a new build.
fn new_build((path, staged, _): &Build) -> NewBuild {
    let found = match staged {
        Ok(staged) => Found::Good { sha256: staged.plugin().sha256.clone().unwrap_or_default() },
        Err(error) => Found::Refused { rule: rule_of(error).to_owned(), error: error.to_string() },
    };
    NewBuild { path: path.clone(), found }
}
