//! Connecting a prepared run with its other ranks.

use super::super::generators::seed_generators;
use super::super::trainer::Trainer;
use super::Ranks;
use crate::config::{BatchNormRanks, Compression};
use crate::error::TrainError;
use kasmina::ModelError;
use kasmina_plugin_api::ErrorKind;
use kasmina_ranks::{
    Attention, DeviceWait, Gradients, Link, Messages, RanksError, ReductionSettings, Share, Votes,
    compare_facts,
};
use std::path::Path;
use std::sync::Arc;

/// Bytes of a MiB.
const MIB: f64 = 1024.0 * 1024.0;

impl Trainer<'_> {
    /// Trains the run together with the other ranks, which call this too. `run` is the directory that rank 0
    /// writes.
    ///
    /// # Errors
    /// If a rank differs in something that affects the results, or is lost.
    pub fn on_ranks(mut self, link: &Arc<Link>, run: Option<&Path>) -> Result<Self, TrainError> {
        let mut messages = Messages::new(link, "run");
        compare_facts(&mut messages, &self.facts()?)?;
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
            messages,
            stopping: false,
            run: run.map(Path::to_owned),
            wait: DeviceWait::new(link, device)?,
            local_statistics: settings.batch_norm == BatchNormRanks::Local,
        };
        // Queued losses are summed over the ranks, and the checkpoint has their sum.
        if !link.world().is_first() {
            let _ = self.training.loss_sum.f_zero_()?;
        }
        if !self.progress.own_state {
            // The generators of the checkpoint are those of rank 0. Each epoch seeds them; the rest of a
            // resumed epoch begins with others.
            if self.progress.generators.take().is_some() {
                seed_generators(self.config.seed, self.progress.position.epoch, ranks.rank())?;
                self.progress.generators = Some(kasmina_torch_ext::rng::RngState::save()?);
            }
            self.training.model.renew_streams()?;
        }
        ranks.compare_weights(&self.training.model)?;
        self.ranks = Some(ranks);
        Ok(self)
    }

    /// Compares the weights of all ranks.
    pub(in crate::run) fn compare_weights(&mut self) -> Result<(), TrainError> {
        let Some(ranks) = &mut self.ranks else { return Ok(()) };
        ranks.share_statistics(&self.training.model)?;
        ranks.wait_for_device()?;
        ranks.compare_weights(&self.training.model)
    }

    /// Waits until all ranks are here.
    pub(in crate::run) fn wait_for_ranks(&mut self) -> Result<(), TrainError> {
        self.ranks.as_mut().map_or(Ok(()), |ranks| ranks.of_first(true).map(drop))
    }

    /// Whether this process writes the files of the run.
    pub(in crate::run) fn is_first_rank(&self) -> bool {
        self.ranks.as_ref().is_none_or(|ranks| ranks.link.world().is_first())
    }

    /// Returns the cause of an error: a rank that is lost or late, if the error is of an exchange. Tells the
    /// other ranks of an error of this one.
    pub(in crate::run) fn explained(&self, error: TrainError) -> TrainError {
        let Some(ranks) = &self.ranks else { return error };
        if let Err(lost) = ranks.link.check() {
            return lost.into();
        }
        if may_be_of_exchange(&error)
            && let lost @ (RanksError::Lost { .. } | RanksError::StoreLost { .. }) =
                ranks.link.explain(&error)
        {
            return lost.into();
        }
        ranks.link.fail(&error.to_string());
        error
    }
}

/// Whether an error may come from a transfer between ranks. Layers transfer too, so it may be of a plugin's
/// call.
fn may_be_of_exchange(error: &TrainError) -> bool {
    match error {
        TrainError::Model(ModelError::Forward { error, .. } | ModelError::Plugin(error))
        | TrainError::Tensor(error) => !matches!(error.kind, ErrorKind::Panic | ErrorKind::Poisoned),
        TrainError::Model(ModelError::Torch(_) | ModelError::Consensus(_)) | TrainError::Torch(_) => true,
        TrainError::Ranks(error) => matches!(error, RanksError::Transfer(_) | RanksError::Votes(_)),
        _ => false,
    }
}
