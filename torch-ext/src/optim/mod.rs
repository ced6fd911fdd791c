//! Fused SGD and AdamW over named groups that can be added and removed during training.
//!
//! State is keyed by (owner, parameter name), never by tensor identity. A step is a few fused calls per
//! group. A gradient that is not finite sets a flag on the device, which makes the update of its group a
//! no-op; the host reads the number of skipped steps only in [`Optimizer::skipped_steps`], never in a step.

pub(crate) mod config;
mod group;
mod keep;
mod native;
mod state;

pub use config::{AdamW, Algorithm, Sgd};
pub use state::{GroupState, OptimizerState};

use crate::error::Result;
use crate::sink::{Change, NamedParameter, ParameterSink, Role, SinkError, Ticket};
use group::{Group, RateSettings};
use native::GroupBatch;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

/// An optimizer with removable groups. Each group steps with the learning rate times the group's scale.
#[derive(Debug)]
pub struct Optimizer {
    algorithm: Algorithm,
    learning_rate: f64,
    /// Factor on the learning rate of new groups by role; 1 if absent.
    scales: BTreeMap<Role, f64>,
    /// Warm-up steps of new groups by role; 0 if absent.
    warm_ups: BTreeMap<Role, u32>,
    groups: BTreeMap<String, Group>,
    /// Groups replaced by [`Change::Exchange`], by owner, until they are restored or settled; `None` for an
    /// owner that had no group.
    exchanged: BTreeMap<String, Option<Group>>,
    /// Number of steps that each removed owner had skipped.
    departed: BTreeMap<String, u64>,
    /// All groups; `None` after a change of the groups, until the next step.
    batch: Option<GroupBatch>,
    prepared: BTreeMap<Ticket, Prepared>,
    next_ticket: u64,
    layout: u64,
}

#[derive(Debug)]
enum Prepared {
    Add(String, Group),
    Replace(String, Group),
    Exchange(String, Option<Group>),
    Substitute(String, Option<Group>),
    Restore(String),
    Settle(String),
    Remove(String),
}

impl Optimizer {
    /// Creates an optimizer without parameters.
    pub fn new(algorithm: impl Into<Algorithm>, learning_rate: f64) -> Self {
        Self {
            algorithm: algorithm.into(),
            learning_rate,
            scales: BTreeMap::new(),
            warm_ups: BTreeMap::new(),
            groups: BTreeMap::new(),
            exchanged: BTreeMap::new(),
            departed: BTreeMap::new(),
            batch: None,
            prepared: BTreeMap::new(),
            next_ticket: 0,
            layout: next_layout(),
        }
    }

    /// Returns the names of all owners that have a group, sorted.
    pub fn owners(&self) -> impl Iterator<Item = &str> {
        self.groups.keys().map(String::as_str)
    }

    /// Sets the learning rate before the factors of groups. Written to the device only if it changed.
    ///
    /// # Errors
    /// If the device refuses the write.
    pub fn set_learning_rate(&mut self, rate: f64) -> Result<()> {
        if rate != self.learning_rate {
            self.learning_rate = rate;
            for group in self.groups.values_mut() {
                group.set_rate(rate)?;
            }
        }
        Ok(())
    }

    /// Returns the learning rate before the factors of groups.
    pub fn learning_rate(&self) -> f64 {
        self.learning_rate
    }

    /// Sets the factor on the learning rate of groups of a role that are added later.
    #[must_use]
    pub fn with_scale(mut self, role: Role, scale: f64) -> Self {
        self.scales.insert(role, scale);
        self
    }

    /// Sets the number of warm-up steps of groups of a role that are added later. In its step `n` (from 0) a
    /// group uses `(n + 1) / steps` of its rate.
    #[must_use]
    pub fn with_warm_up(mut self, role: Role, steps: u32) -> Self {
        self.warm_ups.insert(role, steps);
        self
    }

    /// Sets the factor on the learning rate of one owner. Written to the device only if it changed.
    ///
    /// # Errors
    /// If there is no such owner, or the device refuses the write.
    pub fn set_scale(&mut self, owner: &str, scale: f64) -> std::result::Result<(), SinkError> {
        let group = self.groups.get_mut(owner).ok_or_else(|| SinkError::UnknownOwner(owner.to_owned()))?;
        if !group.set_scale(scale) {
            return Ok(());
        }
        group
            .set_rate(self.learning_rate)
            .map_err(|e| SinkError::State { owner: owner.to_owned(), reason: e.to_string() })
    }

    /// Returns handles on an owner's state tensors by name (`<parameter>.exp_avg`, ...), in a stable order,
    /// or `None` if there is no such owner.
    ///
    /// # Shapes
    /// Those of [`state_tensors`](Self::state_tensors).
    pub fn state(&self, owner: &str) -> Option<Vec<(String, tch::Tensor)>> {
        self.groups.get(owner).map(Group::tensors)
    }

    /// Updates every parameter that has a gradient, then sets the gradients to undefined. No host sync.
    ///
    /// # Errors
    /// If libtorch refuses a fused call.
    pub fn step(&mut self) -> Result<()> {
        self.update().and(self.advance())
    }

    /// Runs the device's part of a step, which a captured step repeats: the updates, and clearing the
    /// gradients.
    ///
    /// # Errors
    /// If libtorch refuses a fused call.
    pub fn update(&mut self) -> Result<()> {
        let batch = match &mut self.batch {
            Some(batch) => batch,
            none => none.insert(GroupBatch::new(self.groups.values().map(Group::member))?),
        };
        let mut result = batch.clear_flags();
        // SAFETY: `batch` was made of the current groups: every change of the groups discards it.
        if let Some(done) = unsafe { batch.step(&self.algorithm) } {
            result = result.and(done);
        } else {
            // If one group fails, the others still step: their gradients must not accumulate.
            for group in self.groups.values_mut() {
                result = result.and(group.step(&self.algorithm));
            }
        }
        result.and(batch.count_skipped())
    }

    /// Runs the host's part of a step, which advances the warm-ups. It writes rates to the device, so it must
    /// run outside of a captured step.
    ///
    /// # Errors
    /// If the device refuses the write.
    pub fn advance(&mut self) -> Result<()> {
        self.groups.values_mut().try_for_each(|group| group.advance_warm_up(self.learning_rate))
    }

    /// Layout number, unique in the process. It changes whenever groups are added, removed or replaced. A
    /// captured step is valid for one layout.
    pub fn layout(&self) -> u64 {
        self.layout
    }

    /// Returns a hash of the parameters' addresses and `requires_grad` flags. It changes when a parameter is
    /// frozen or its data is replaced. A captured step is valid for one fingerprint.
    pub fn fingerprint(&self) -> u64 {
        self.groups.values().fold(0, |all, group| all.rotate_left(7) ^ group.fingerprint())
    }

    /// Sets every gradient to undefined, without a step.
    ///
    /// # Errors
    /// If libtorch refuses.
    pub fn zero_grad(&mut self) -> Result<()> {
        for group in self.groups.values() {
            crate::norm::clear_gradients(group.parameters())?;
        }
        Ok(())
    }

    /// Returns the number of steps that each owner skipped because of a gradient that was not finite, removed
    /// owners included. Waits for the device.
    ///
    /// # Errors
    /// If the device cannot be read.
    pub fn skipped_steps(&self) -> Result<BTreeMap<String, u64>> {
        let mut all = self.departed.clone();
        for (owner, group) in &self.groups {
            *all.entry(owner.clone()).or_default() += group.skipped()?;
        }
        Ok(all)
    }

    /// Returns the settings of a new group of a role.
    fn rate_settings(&self, role: Role) -> RateSettings {
        RateSettings {
            scale: self.scales.get(&role).copied().unwrap_or(1.0),
            warm_up: self.warm_ups.get(&role).copied().unwrap_or(0),
        }
    }

    fn ticket(&mut self, change: Prepared) -> Ticket {
        self.next_ticket += 1;
        let ticket = Ticket(self.next_ticket);
        self.prepared.insert(ticket, change);
        ticket
    }

    /// Returns the new group of an owner whose parameters are exchanged, with the state copied from its
    /// current group, or `None` if there are no new parameters.
    fn exchanged_group(
        &self,
        owner: &str,
        role: Role,
        parameters: Vec<NamedParameter>,
    ) -> std::result::Result<Option<Group>, SinkError> {
        if parameters.is_empty() {
            return Ok(None);
        }
        let held = self.groups.get(owner);
        let group = Group::new(parameters, &self.algorithm, self.learning_rate, self.rate_settings(role))
            .and_then(|group| held.map_or(Ok(()), |held| group.copy_matching_state(held)).map(|()| group))
            .and_then(|mut group| {
                held.map_or(Ok(()), |held| group.copy_rate_state(held, self.learning_rate)).map(|()| group)
            })
            .map_err(|e| SinkError::State { owner: owner.to_owned(), reason: e.to_string() })?;
        self.refuse_shared(owner, &group)?;
        Ok(Some(group))
    }

    fn refuse_shared(&self, owner: &str, group: &Group) -> std::result::Result<(), SinkError> {
        let waiting = self.prepared.values().filter_map(|p| match p {
            Prepared::Add(other, group)
            | Prepared::Replace(other, group)
            | Prepared::Exchange(other, Some(group))
            | Prepared::Substitute(other, Some(group)) => Some((other, group)),
            Prepared::Exchange(_, None)
            | Prepared::Substitute(_, None)
            | Prepared::Restore(_)
            | Prepared::Settle(_)
            | Prepared::Remove(_) => None,
        });
        for (other, held) in self.groups.iter().chain(waiting) {
            if let Some(name) = group.shares_with(held) {
                return Err(SinkError::SharedParameter {
                    name: name.to_owned(),
                    owner: owner.to_owned(),
                    other: other.clone(),
                });
            }
        }
        Ok(())
    }
}

fn next_layout() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

impl ParameterSink for Optimizer {
    fn prepare(&mut self, change: Change) -> std::result::Result<Ticket, SinkError> {
        match change {
            Change::Add { owner, role, parameters } => {
                let prepared = |p: &Prepared| matches!(p, Prepared::Add(other, _) if *other == owner);
                if self.groups.contains_key(&owner) || self.prepared.values().any(prepared) {
                    return Err(SinkError::DuplicateOwner(owner));
                }
                let group =
                    Group::new(parameters, &self.algorithm, self.learning_rate, self.rate_settings(role))
                        .map_err(|e| SinkError::State { owner: owner.clone(), reason: e.to_string() })?;
                self.refuse_shared(&owner, &group)?;
                Ok(self.ticket(Prepared::Add(owner, group)))
            }
            Change::Exchange { owner, role, parameters } => {
                let group = self.exchanged_group(&owner, role, parameters)?;
                Ok(self.ticket(Prepared::Exchange(owner, group)))
            }
            Change::Substitute { owner, role, parameters } => {
                let group = self.exchanged_group(&owner, role, parameters)?;
                Ok(self.ticket(Prepared::Substitute(owner, group)))
            }
            Change::Restore { owner } if self.exchanged.contains_key(&owner) => {
                Ok(self.ticket(Prepared::Restore(owner)))
            }
            Change::Settle { owner } if self.exchanged.contains_key(&owner) => {
                Ok(self.ticket(Prepared::Settle(owner)))
            }
            Change::Restore { owner } | Change::Settle { owner } => Err(SinkError::NothingExchanged(owner)),
            Change::Replace { owner, parameters } => {
                let Some(held) = self.groups.get(&owner) else { return Err(SinkError::UnknownOwner(owner)) };
                if !held.is_named_like(&parameters) {
                    let reason = "the new parameters do not have the names of the old ones".to_owned();
                    return Err(SinkError::State { owner, reason });
                }
                let group = held
                    .moved(parameters, &self.algorithm, self.learning_rate)
                    .map_err(|e| SinkError::State { owner: owner.clone(), reason: e.to_string() })?;
                self.refuse_shared(&owner, &group)?;
                Ok(self.ticket(Prepared::Replace(owner, group)))
            }
            Change::Remove { owner } => {
                if !self.groups.contains_key(&owner) {
                    return Err(SinkError::UnknownOwner(owner));
                }
                Ok(self.ticket(Prepared::Remove(owner)))
            }
        }
    }

    fn commit(&mut self, ticket: Ticket) {
        self.batch = None;
        self.layout = next_layout();
        match self.prepared.remove(&ticket) {
            Some(Prepared::Add(owner, group) | Prepared::Replace(owner, group)) => {
                self.groups.insert(owner, group);
            }
            Some(Prepared::Exchange(owner, group)) => {
                let before = match group {
                    Some(group) => self.groups.insert(owner.clone(), group),
                    None => self.groups.remove(&owner),
                };
                self.exchanged.insert(owner, before);
            }
            Some(Prepared::Substitute(owner, group)) => {
                self.exchanged.remove(&owner);
                match group {
                    Some(group) => self.groups.insert(owner, group),
                    None => self.groups.remove(&owner),
                };
            }
            Some(Prepared::Restore(owner)) => {
                self.groups.remove(&owner);
                if let Some(mut group) = self.exchanged.remove(&owner).flatten() {
                    // The rate may have changed since the exchange. A device that fails here also fails in
                    // the next step.
                    let _ = group.set_rate(self.learning_rate);
                    self.groups.insert(owner, group);
                }
            }
            Some(Prepared::Settle(owner)) => {
                self.exchanged.remove(&owner);
            }
            Some(Prepared::Remove(owner)) => {
                self.exchanged.remove(&owner);
                if let Some(group) = self.groups.remove(&owner) {
                    // Groups are removed between steps, where waiting for the device is acceptable. If the
                    // device cannot be read, its skipped steps are not counted.
                    *self.departed.entry(owner).or_default() += group.skipped().unwrap_or(0);
                }
            }
            None => {}
        }
    }

    fn abort(&mut self, ticket: Ticket) {
        self.prepared.remove(&ticket);
    }
}
