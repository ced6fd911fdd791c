//! What a training step moves.

use crate::config::{ComputeConfig, OptimizerConfig};
use crate::error::TrainError;
use kasmina::MorphogeneticModel;
use kasmina::model::{ModelError, Stepper};
use kasmina_torch_ext::Role;
use kasmina_torch_ext::optim::{AdamW, Optimizer};
use tch::{Kind, Tensor};

/// The network in training. All of it lasts between two steps; the stepper's recordings are made again when
/// they are gone.
pub(super) struct Training {
    pub(super) model: MorphogeneticModel,
    pub(super) optimizer: Optimizer,
    pub(super) stepper: Stepper,
    /// The sum of the losses of the epoch so far, weighted by samples: 0-dim, on the device. It stays where
    /// it is, because recorded steps add to it.
    pub(super) loss_sum: Tensor,
}

impl Training {
    /// Puts a model into training, with an optimizer that holds its host.
    pub(super) fn new(
        model: MorphogeneticModel,
        settings: &OptimizerConfig,
        compute: &ComputeConfig,
    ) -> Result<Self, TrainError> {
        let adam = AdamW { weight_decay: settings.weight_decay, ..AdamW::default() };
        let mut optimizer = Optimizer::new(adam, settings.learning_rate)
            .with_scale(Role::Seed, settings.seed_rate)
            .with_scale(Role::Gate, settings.seed_rate)
            .with_warm_up(Role::Seed, settings.seed_warm_up)
            .with_warm_up(Role::Gate, settings.seed_warm_up);
        model.register_host(&mut optimizer)?;
        let stepper = if compute.capture { recording(&model) } else { Stepper::eager() };
        let loss_sum = Tensor::f_zeros([], (Kind::Float, model.device()))?;
        Ok(Self { model, optimizer, stepper, loss_sum })
    }

    /// Sets the learning rate of every seed from its alpha; where nothing changes, nothing is written.
    pub(super) fn set_seed_rates(&mut self, settings: &OptimizerConfig) -> Result<(), TrainError> {
        for slot in self.model.slots() {
            let Some(owner) = slot.seed_owner() else { continue };
            let silent = slot.lifecycle().alpha() == 0.0;
            let factor = settings.seed_rate * if silent { settings.incubation_rate } else { 1.0 };
            self.optimizer.set_scale(&owner, factor).map_err(ModelError::from)?;
        }
        Ok(())
    }
}

/// A stepper that records where it can; where it cannot, the run goes on all the same.
fn recording(model: &MorphogeneticModel) -> Stepper {
    Stepper::new(model).unwrap_or_else(|error| {
        tracing::warn!("steps are not recorded as CUDA graphs: {error}");
        Stepper::eager()
    })
}
