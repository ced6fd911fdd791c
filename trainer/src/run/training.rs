//! The state that a training step changes: model, optimizer and loss.

use crate::config::{ComputeConfig, OptimizerConfig};
use crate::error::TrainError;
use kasmina::MorphogeneticModel;
use kasmina::model::{ModelError, Stepper};
use kasmina_torch_ext::Role;
use kasmina_torch_ext::optim::{AdamW, Optimizer};
use tch::{Kind, Tensor};

/// The network in training. Checkpoints contain all of it except the stepper, which captures its steps again.
pub(super) struct Training {
    pub(super) model: MorphogeneticModel,
    pub(super) optimizer: Optimizer,
    pub(super) stepper: Stepper,
    /// Sum of the losses of the epoch so far, weighted by samples: 0-dim, on the device. The tensor is never
    /// replaced, because captured steps add to its memory.
    pub(super) loss_sum: Tensor,
}

impl Training {
    /// Creates the training state of a model, with an optimizer of its host's parameters.
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
        let stepper = if compute.capture { capturing_stepper(&model) } else { Stepper::eager() };
        let loss_sum = Tensor::f_zeros([], (Kind::Float, model.device()))?;
        Ok(Self { model, optimizer, stepper, loss_sum })
    }

    /// Sets the learning rate of every seed according to its alpha.
    pub(super) fn set_seed_rates(&mut self, settings: &OptimizerConfig) -> Result<(), TrainError> {
        for slot in self.model.slots() {
            let Some(owner) = slot.seed_owner() else { continue };
            let incubating = slot.lifecycle().alpha() == 0.0;
            let factor = settings.seed_rate * if incubating { settings.incubation_rate } else { 1.0 };
            self.optimizer.set_scale(&owner, factor).map_err(ModelError::from)?;
        }
        Ok(())
    }
}

/// Returns a stepper that captures steps if possible. If not, the run logs a warning and continues without.
fn capturing_stepper(model: &MorphogeneticModel) -> Stepper {
    Stepper::new(model).unwrap_or_else(|error| {
        tracing::warn!("training steps are not captured as CUDA graphs: {error}");
        Stepper::eager()
    })
}
