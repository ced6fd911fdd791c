//! Training on several ranks: what the training loop does together with the other processes of a run.

mod facts;
mod shard;
mod wishes;

pub(super) use shard::Shard;
pub(super) use wishes::Wishes;

use super::trainer::Trainer;
use crate::config::{BatchNormRanks, Compression};
use crate::error::TrainError;
use kasmina::{ModelError, MorphogeneticModel};
use kasmina_plugin_api::{ErrorKind, PluginError};
use kasmina_ranks::{Attention, Gradients, Link, Messages, RanksError, ReductionSettings, Share, Votes};
use kasmina_torch_ext::ranks::Collective;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tch::Tensor;

/// Bytes of a MiB.
const MIB: f64 = 1024.0 * 1024.0;

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
    /// Whether each rank has running statistics of its own during an epoch.
    local_statistics: bool,
}

impl Trainer<'_> {
    /// Trains the run together with the other ranks, which call this too. `run` is the directory that rank 0
    /// writes.
    ///
    /// # Errors
    /// If a rank differs in something that affects the results, or is lost.
    pub fn on_ranks(mut self, link: &Arc<Link>, run: Option<&Path>) -> Result<Self, TrainError> {
        link.compare(&self.facts()?)?;
        let settings = &self.config.ranks;
        let device = self.training.model.device();
        let collective = link.collective(device, settings.deterministic)?;
        let (share, attention) = (Share::new(device)?, Attention::default());
        let reduction = ReductionSettings {
            first_bucket: (settings.first_bucket_mib * MIB) as usize,
            bucket: (settings.bucket_mib * MIB) as usize,
            compressed: settings.compression == Compression::Bf16,
            sync_batch_norm: settings.batch_norm == BatchNormRanks::Sync,
        };
        let gradients = Gradients::new(link, &collective, device, reduction, (&share, &attention))?;
        self.training.stepper.set_reduction(Box::new(gradients));
        self.training.model.set_consensus(Box::new(Votes::new(link)));
        let mut ranks = Ranks {
            link: Arc::clone(link),
            collective,
            share,
            attention,
            messages: link.messages("run"),
            stopping: false,
            run: run.map(Path::to_owned),
            local_statistics: settings.batch_norm == BatchNormRanks::Local,
        };
        if !link.world().is_first() {
            // Each epoch seeds the generators; within a resumed epoch the checkpoint's are those of rank 0.
            if self.progress.generators.take().is_some() {
                super::epoch::seed_generators(&self.config, self.progress.position.epoch, Some(&ranks))?;
                self.progress.generators = Some(kasmina_torch_ext::rng::RngState::save()?);
            }
            let _ = self.training.loss_sum.f_zero_()?;
            if self.progress.restored.is_some() {
                self.training.model.renew_streams()?;
            }
        }
        ranks.compare_weights(&self.training.model)?;
        self.ranks = Some(ranks);
        Ok(self)
    }

    /// Compares the weights of all ranks.
    pub(super) fn compare_weights(&mut self) -> Result<(), TrainError> {
        let Some(ranks) = &mut self.ranks else { return Ok(()) };
        ranks.share_statistics(&self.training.model)?;
        ranks.compare_weights(&self.training.model)
    }

    /// Waits until all ranks are here.
    pub(super) fn wait_for_ranks(&mut self) -> Result<(), TrainError> {
        self.ranks.as_mut().map_or(Ok(()), |ranks| ranks.of_first(true).map(drop))
    }

    /// Whether this process writes the files of the run.
    pub(super) fn is_first_rank(&self) -> bool {
        self.ranks.as_ref().is_none_or(|ranks| ranks.link.world().is_first())
    }

    /// Returns the cause of an error: a rank that is lost or late, if the error is of an exchange. Tells the other
    /// ranks of an error of this one.
    pub(super) fn explained(&self, error: TrainError) -> TrainError {
        let Some(ranks) = &self.ranks else { return error };
        if let Err(lost) = ranks.link.check() {
            return lost.into();
        }
        if may_be_of_exchange(&error)
            && let lost @ RanksError::Lost { .. } = ranks.link.explain(&error)
        {
            return lost.into();
        }
        ranks.link.fail(&error.to_string());
        error
    }
}

impl Ranks {
    /// Returns the part of a batch that this rank computes.
    pub(super) fn shard(&self, samples: i64) -> Shard {
        Shard::of(samples, self.link.world().rank as i64, self.link.world().size as i64)
    }

    /// Replaces a tensor by its sum over all ranks.
    pub(super) fn sum(&self, tensor: &Tensor) -> Result<(), TrainError> {
        Ok(self.collective.sum(tensor)?)
    }

    /// Returns what rank 0 has decided.
    pub(super) fn of_first(&mut self, mine: bool) -> Result<bool, TrainError> {
        Ok(self.messages.from_first(&[u8::from(mine)])?.first() == Some(&1))
    }

    /// Tells every rank's wishes to all.
    pub(super) fn exchange(&mut self, mine: &Wishes) -> Result<Vec<Wishes>, TrainError> {
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
            if !trained.iter().any(|p| p.tensor.data_ptr() == tensor.data_ptr()) {
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

/// Returns all variables of a model, buffers included, by their names.
fn variables(model: &MorphogeneticModel) -> Result<Vec<(String, Tensor)>, TrainError> {
    let (_, tensors) = model.state().map_err(|error| PluginError::torch(&error.to_string()))?;
    Ok(tensors.model)
}

/// Whether an error may come from a transfer between ranks. Layers transfer too, so it may be of a plugin's call.
fn may_be_of_exchange(error: &TrainError) -> bool {
    match error {
        TrainError::Model(ModelError::Forward { error, .. } | ModelError::Plugin(error))
        | TrainError::Tensor(error) => !matches!(error.kind, ErrorKind::Panic | ErrorKind::Poisoned),
        TrainError::Model(ModelError::Torch(_) | ModelError::Consensus(_)) | TrainError::Torch(_) => true,
        TrainError::Ranks(error) => matches!(error, RanksError::Transfer(_) | RanksError::Votes(_)),
        _ => false,
    }
}
