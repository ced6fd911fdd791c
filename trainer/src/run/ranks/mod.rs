//! Training on several ranks: what the training loop does together with the other processes of a run.

mod facts;
mod join;
mod requested;
mod shard;

pub(super) use requested::{Found, NewBuild, Requested};
pub(super) use shard::{Shard, Split};

use super::checkpoint::Place;
use crate::error::TrainError;
use kasmina::MorphogeneticModel;
use kasmina_plugin_api::PluginError;
use kasmina_ranks::{Attention, DeviceWait, Link, Messages, RanksError, Share};
use kasmina_torch_ext::ranks::Collective;
use std::path::PathBuf;
use std::sync::Arc;
use tch::{Kind, Tensor};

/// The connection of a run with its other ranks.
#[derive(Debug)]
pub(super) struct Ranks {
    pub(super) link: Arc<Link>,
    collective: Collective,
    /// The share of this rank in the present batch.
    pub(super) share: Share,
    pub(super) attention: Attention,
    messages: Messages,
    /// Whether all ranks have agreed to stop.
    pub(super) stopping: bool,
    /// Directory of the run, which rank 0 writes.
    pub(super) run: Option<PathBuf>,
    /// Waits for this rank's GPU before its numbers are read.
    wait: DeviceWait,
    /// Whether each rank has running statistics of its own during an epoch.
    local_statistics: bool,
}

impl Ranks {
    /// Returns the number of this rank, from 0.
    pub(super) fn rank(&self) -> usize {
        self.link.world().rank
    }

    /// Returns the place of this rank.
    pub(super) fn place(&self) -> Place {
        Place { rank: self.rank(), size: self.link.world().size }
    }

    /// Sends bytes to all ranks and returns every rank's, in the order of the ranks.
    pub(super) fn gather(&mut self, mine: &[u8]) -> Result<Vec<Vec<u8>>, TrainError> {
        Ok(self.messages.gather(mine)?)
    }

    /// Replaces a tensor by its sum over all ranks.
    pub(super) fn sum(&self, tensor: &Tensor) -> Result<(), TrainError> {
        Ok(self.collective.sum(tensor)?)
    }

    /// Waits until the device has done everything that is queued, which includes operations with other ranks.
    /// Called before a number is read that depends on them.
    pub(super) fn wait_for_device(&mut self) -> Result<(), TrainError> {
        Ok(self.wait.wait()?)
    }

    /// Returns what rank 0 has decided.
    pub(super) fn of_first(&mut self, mine: bool) -> Result<bool, TrainError> {
        Ok(self.messages.from_first(&[u8::from(mine)])?.first() == Some(&1))
    }

    /// Returns each rank's text, in the order of the ranks.
    pub(super) fn texts(&mut self, mine: &str) -> Result<Vec<String>, TrainError> {
        let all = self.messages.gather(mine.as_bytes())?;
        Ok(all.iter().map(|bytes| String::from_utf8_lossy(bytes).into_owned()).collect())
    }

    /// Returns the bytes of a file of rank 0. Every rank calls it; only rank 0 passes bytes.
    pub(super) fn file_of_first(&mut self, bytes: &[u8]) -> Result<Vec<u8>, TrainError> {
        Ok(self.messages.bytes_from_first(bytes)?)
    }

    /// Tells every rank's requested to all.
    pub(super) fn exchange(&mut self, mine: &Requested) -> Result<Vec<Requested>, TrainError> {
        let damaged = |error: serde_json::Error| RanksError::Transfer(error.to_string());
        let all = self.messages.gather(&serde_json::to_vec(mine).map_err(damaged)?)?;
        let read = |bytes: &Vec<u8>| serde_json::from_slice(bytes).map_err(damaged);
        Ok(all.iter().map(read).collect::<Result<_, _>>()?)
    }

    /// Gives every rank the running statistics of rank 0, if each has its own.
    fn share_statistics(&self, model: &MorphogeneticModel) -> Result<(), TrainError> {
        if !self.local_statistics {
            return Ok(());
        }
        let trained: Vec<_> = model.host_parameters().chain(model.seed_parameters()).collect();
        let variables = variables(model)?;
        let _no_grad = tch::no_grad_guard();
        for (_, tensor) in &variables {
            // Statistics are floating-point numbers, and their counters are integers.
            let is_statistic = tensor.is_floating_point() || tensor.kind() == Kind::Int64;
            if is_statistic && !trained.iter().any(|p| p.tensor.data_ptr() == tensor.data_ptr()) {
                self.collective.broadcast(tensor, 0)?;
            }
        }
        Ok(())
    }

    fn compare_weights(&mut self, model: &MorphogeneticModel) -> Result<(), TrainError> {
        let variables = variables(model)?;
        Ok(kasmina_ranks::compare_tensors(&mut self.messages, &variables)?)
    }

    /// Leaves the run after everything is done.
    pub(super) fn leave(&self) {
        self.collective.close();
        self.link.leave();
    }
}

/// Returns all variables of a model, buffers included, by their names. During a trial, buffers of seeds are
/// missing, because the state cannot be taken then.
fn variables(model: &MorphogeneticModel) -> Result<Vec<(String, Tensor)>, TrainError> {
    if model.is_on_trial() {
        let host = model.host_variables()?.into_iter().map(|variable| (variable.name, variable.tensor));
        let seeds = model.seed_parameters().map(|p| (p.name.clone(), p.tensor.shallow_clone()));
        return Ok(host.chain(seeds).collect());
    }
    let (_, tensors) = model.state().map_err(|error| PluginError::torch(&error.to_string()))?;
    Ok(tensors.model)
}
