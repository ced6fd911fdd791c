//! Fused SGD and AdamW over named groups that can come and go while training runs.
//!
//! State is keyed by (owner, parameter name), never by tensor identity. A step is a handful of fused calls per
//! group: gradients that are not finite raise a flag on the device and that group's update skips itself there;
//! the host learns of it when it asks ([`Optimizer::skipped_steps`]), never in a step.

mod config;
mod group;

pub use config::{AdamW, Algorithm, Sgd};

use crate::error::Result;
use crate::sink::{Change, ParameterSink, SinkError, Ticket};
use group::Group;
use std::collections::BTreeMap;

/// An optimizer with removable groups. Each group steps with `learning rate x its scale`.
#[derive(Debug)]
pub struct Optimizer {
    algorithm: Algorithm,
    learning_rate: f64,
    groups: BTreeMap<String, Group>,
    prepared: BTreeMap<Ticket, Prepared>,
    next_ticket: u64,
}

#[derive(Debug)]
enum Prepared {
    Add(String, Group),
    Remove(String),
}

impl Optimizer {
    /// An optimizer without parameters.
    pub fn new(algorithm: impl Into<Algorithm>, learning_rate: f64) -> Self {
        Self {
            algorithm: algorithm.into(),
            learning_rate,
            groups: BTreeMap::new(),
            prepared: BTreeMap::new(),
            next_ticket: 0,
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

    /// The rate before scales.
    pub fn learning_rate(&self) -> f64 {
        self.learning_rate
    }

    /// Sets one group's factor on the learning rate.
    ///
    /// # Errors
    /// [`SinkError::UnknownOwner`] if there is no such group, [`SinkError::State`] if the device refuses.
    pub fn set_scale(&mut self, owner: &str, scale: f64) -> std::result::Result<(), SinkError> {
        let rate = self.learning_rate;
        let group = self.groups.get_mut(owner).ok_or_else(|| SinkError::UnknownOwner(owner.to_owned()))?;
        group
            .set_scale(scale, rate)
            .map_err(|e| SinkError::State { owner: owner.to_owned(), reason: e.to_string() })
    }

    /// Updates every parameter that has a gradient, then drops the gradients. No host sync.
    ///
    /// # Errors
    /// If libtorch refuses a fused call.
    pub fn step(&mut self) -> Result<()> {
        for group in self.groups.values_mut() {
            group.step(&self.algorithm)?;
        }
        Ok(())
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

    /// How many steps each group skipped because of a gradient that was not finite. This waits for the device.
    ///
    /// # Errors
    /// If the device cannot be read.
    pub fn skipped_steps(&self) -> Result<BTreeMap<String, u64>> {
        self.groups.iter().map(|(owner, group)| Ok((owner.clone(), group.skipped()?))).collect()
    }

    fn ticket(&mut self, change: Prepared) -> Ticket {
        self.next_ticket += 1;
        let ticket = Ticket(self.next_ticket);
        self.prepared.insert(ticket, change);
        ticket
    }

    fn refuse_shared(&self, owner: &str, group: &Group) -> std::result::Result<(), SinkError> {
        let waiting = self.prepared.values().filter_map(|p| match p {
            Prepared::Add(other, group) => Some((other, group)),
            Prepared::Remove(_) => None,
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

impl ParameterSink for Optimizer {
    fn prepare(&mut self, change: Change) -> std::result::Result<Ticket, SinkError> {
        match change {
            Change::Add { owner, parameters } => {
                if self.groups.contains_key(&owner) {
                    return Err(SinkError::DuplicateOwner(owner));
                }
                let group = Group::new(parameters, &self.algorithm, self.learning_rate)
                    .map_err(|e| SinkError::State { owner: owner.clone(), reason: e.to_string() })?;
                self.refuse_shared(&owner, &group)?;
                Ok(self.ticket(Prepared::Add(owner, group)))
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
        match self.prepared.remove(&ticket) {
            Some(Prepared::Add(owner, group)) => {
                self.groups.insert(owner, group);
            }
            Some(Prepared::Remove(owner)) => {
                self.groups.remove(&owner);
            }
            None => {}
        }
    }

    fn abort(&mut self, ticket: Ticket) {
        self.prepared.remove(&ticket);
    }
}
