//! Fused SGD and AdamW over named groups that can come and go while training runs.
//!
//! State is keyed by (owner, parameter name), never by tensor identity. A step is a handful of fused calls
//! per group: gradients that are not finite raise a flag on the device and that group's update skips itself
//! there; the host learns of it when it asks ([`Optimizer::skipped_steps`]), never in a step.

pub(crate) mod config;
mod group;
mod keep;
mod native;
mod state;

pub use config::{AdamW, Algorithm, Sgd};
pub use state::{GroupState, OptimizerState};

use crate::error::Result;
use crate::sink::{Change, NamedParameter, ParameterSink, Role, SinkError, Ticket};
use group::{Group, Terms};
use native::Together;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

/// An optimizer with removable groups. Each group steps with `learning rate x its scale`.
#[derive(Debug)]
pub struct Optimizer {
    algorithm: Algorithm,
    learning_rate: f64,
    /// Factors on the rate, by what an owner is; 1 where nothing is said.
    scales: BTreeMap<Role, f64>,
    /// Steps of warm-up, by what an owner is; none where nothing is said.
    warm_ups: BTreeMap<Role, u32>,
    groups: BTreeMap<String, Group>,
    /// What exchanged groups stand in for, until that is settled.
    aside: BTreeMap<String, Option<Group>>,
    /// Steps that groups had skipped when they left.
    departed: BTreeMap<String, u64>,
    /// Of the groups there are; none after a change, until the next step.
    together: Option<Together>,
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
            aside: BTreeMap::new(),
            departed: BTreeMap::new(),
            together: None,
            prepared: BTreeMap::new(),
            next_ticket: 0,
            layout: next_layout(),
        }
    }

    /// Who has a group, sorted.
    pub fn owners(&self) -> impl Iterator<Item = &str> {
        self.groups.keys().map(String::as_str)
    }

    /// Sets the rate of all groups, each times its scale. Written to the device only if it changed.
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

    /// Learning rate before the factors of groups.
    pub fn learning_rate(&self) -> f64 {
        self.learning_rate
    }

    /// Sets the factor on the learning rate of every group of a role that is added from now on.
    #[must_use]
    pub fn with_scale(mut self, role: Role, scale: f64) -> Self {
        self.scales.insert(role, scale);
        self
    }

    /// Lets the rate of every group of a role that is added from now on rise over its first steps:
    /// `(n + 1) / steps` of the rate in its step `n`.
    #[must_use]
    pub fn with_warm_up(mut self, role: Role, steps: u32) -> Self {
        self.warm_ups.insert(role, steps);
        self
    }

    /// Gives one owner a factor of its own on the learning rate. Written to the device only if it changed.
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

    /// An owner's state as named tensors in a stable order (`<parameter>.exp_avg`, ...); the tensors
    /// themselves.
    pub fn state(&self, owner: &str) -> Option<Vec<(String, tch::Tensor)>> {
        self.groups.get(owner).map(Group::tensors)
    }

    /// Updates every parameter that has a gradient, then drops the gradients. No host sync.
    ///
    /// # Errors
    /// If libtorch refuses a fused call.
    pub fn step(&mut self) -> Result<()> {
        self.update().and(self.advance())
    }

    /// The device's half of a step: what a captured step repeats.
    ///
    /// # Errors
    /// If libtorch refuses a fused call.
    pub fn update(&mut self) -> Result<()> {
        let together = match &mut self.together {
            Some(together) => together,
            none => none.insert(Together::new(self.groups.values().map(Group::member))?),
        };
        let mut first = together.lower();
        // SAFETY: `together` was made of the groups there are: it goes with every change of them.
        if let Some(done) = unsafe { together.step(&self.algorithm) } {
            first = first.and(done);
        } else {
            // One group's failure must not leave the gradients of the others to pile up.
            for group in self.groups.values_mut() {
                first = first.and(group.step(&self.algorithm));
            }
        }
        first.and(together.count())
    }

    /// The host's half of a step: warm-ups move on. Rates are written to the device, so it belongs between
    /// steps.
    ///
    /// # Errors
    /// If the device refuses the write.
    pub fn advance(&mut self) -> Result<()> {
        self.groups.values_mut().try_for_each(|group| group.warm(self.learning_rate))
    }

    /// Another number after every change of the groups; no two optimizers have the same. A recorded step
    /// belongs to one layout.
    pub fn layout(&self) -> u64 {
        self.layout
    }

    /// Where the parameters lie and which of them learn, as one number: it changes when somebody freezes one,
    /// or puts other data under it. A recorded step belongs to one fingerprint.
    pub fn fingerprint(&self) -> u64 {
        self.groups.values().fold(0, |all, group| all.rotate_left(7) ^ group.fingerprint())
    }

    /// Drops every gradient without a step.
    ///
    /// # Errors
    /// If libtorch refuses.
    pub fn zero_grad(&mut self) -> Result<()> {
        for group in self.groups.values() {
            crate::norm::clear_gradients(group.parameters())?;
        }
        Ok(())
    }

    /// How many steps each owner skipped because of a gradient that was not finite, owners that have left
    /// included. This waits for the device.
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

    /// The terms of a new group.
    fn terms(&self, role: Role) -> Terms {
        Terms {
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

    /// The group of an owner whose parameters are exchanged, with the state that it takes over; none where it
    /// brings none.
    fn successor(
        &self,
        owner: &str,
        role: Role,
        parameters: Vec<NamedParameter>,
    ) -> std::result::Result<Option<Group>, SinkError> {
        if parameters.is_empty() {
            return Ok(None);
        }
        let held = self.groups.get(owner);
        let group = Group::new(parameters, &self.algorithm, self.learning_rate, self.terms(role))
            .and_then(|group| held.map_or(Ok(()), |held| group.inherit(held)).map(|()| group))
            .and_then(|mut group| {
                held.map_or(Ok(()), |held| group.go_on(held, self.learning_rate)).map(|()| group)
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
                let group = Group::new(parameters, &self.algorithm, self.learning_rate, self.terms(role))
                    .map_err(|e| SinkError::State { owner: owner.clone(), reason: e.to_string() })?;
                self.refuse_shared(&owner, &group)?;
                Ok(self.ticket(Prepared::Add(owner, group)))
            }
            Change::Exchange { owner, role, parameters } => {
                let group = self.successor(&owner, role, parameters)?;
                Ok(self.ticket(Prepared::Exchange(owner, group)))
            }
            Change::Substitute { owner, role, parameters } => {
                let group = self.successor(&owner, role, parameters)?;
                Ok(self.ticket(Prepared::Substitute(owner, group)))
            }
            Change::Restore { owner } if self.aside.contains_key(&owner) => {
                Ok(self.ticket(Prepared::Restore(owner)))
            }
            Change::Settle { owner } if self.aside.contains_key(&owner) => {
                Ok(self.ticket(Prepared::Settle(owner)))
            }
            Change::Restore { owner } | Change::Settle { owner } => Err(SinkError::NothingExchanged(owner)),
            Change::Replace { owner, parameters } => {
                let Some(held) = self.groups.get(&owner) else { return Err(SinkError::UnknownOwner(owner)) };
                if !held.is_named_like(&parameters) {
                    let reason = "other parameters came than the ones that left".to_owned();
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
        self.together = None;
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
                self.aside.insert(owner, before);
            }
            Some(Prepared::Substitute(owner, group)) => {
                self.aside.remove(&owner);
                match group {
                    Some(group) => self.groups.insert(owner, group),
                    None => self.groups.remove(&owner),
                };
            }
            Some(Prepared::Restore(owner)) => {
                self.groups.remove(&owner);
                if let Some(mut group) = self.aside.remove(&owner).flatten() {
                    // The rate may have moved on; a device that does not take it fails in the next step.
                    let _ = group.set_rate(self.learning_rate);
                    self.groups.insert(owner, group);
                }
            }
            Some(Prepared::Settle(owner)) => {
                self.aside.remove(&owner);
            }
            Some(Prepared::Remove(owner)) => {
                self.aside.remove(&owner);
                if let Some(group) = self.groups.remove(&owner) {
                    // Structure changes between steps: waiting for the device is no harm, and a device that
                    // cannot be read has nothing to tell.
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
