//! Everything that one training step needs, and the part of it that can be captured.

use super::super::{ModelError, MorphogeneticModel};
use super::loss::Loss;
use super::reduction::GradientReduction;
use kasmina_plugin_api::Mode;
use kasmina_torch_ext::cuda::graph;
use kasmina_torch_ext::optim::Optimizer;
use tch::Tensor;

/// Everything that a step needs.
pub(super) struct Work<'w, 'l> {
    pub(super) model: &'w mut MorphogeneticModel,
    pub(super) optimizer: &'w mut Optimizer,
    pub(super) batch: (&'w Tensor, &'w Tensor),
    pub(super) loss: &'w mut Loss<'l>,
    /// Number of samples of each part of the batch; empty for one part.
    pub(super) parts: &'w [i64],
    pub(super) reduction: Option<&'w mut (dyn GradientReduction + 'static)>,
}

impl<'l> Work<'_, 'l> {
    /// Returns the same with another batch.
    pub(super) fn with_batch<'b>(&'b mut self, batch: (&'b Tensor, &'b Tensor)) -> Work<'b, 'l> {
        Work {
            model: self.model,
            optimizer: self.optimizer,
            batch,
            loss: self.loss,
            parts: self.parts,
            reduction: self.reduction.as_deref_mut(),
        }
    }

    /// Runs the part of a step that can be captured; returns the loss, 0-dim.
    pub(super) fn run(&mut self) -> Result<Tensor, ModelError> {
        let parts = self.parts()?;
        let mut value: Option<Tensor> = None;
        let mut pass = |work: &mut Self, part: usize| -> Result<(), ModelError> {
            let loss = work.pass(&parts[part].0, &parts[part].1)?;
            value = Some(match value.take() {
                None => loss,
                Some(sum) => sum.f_add(&loss)?,
            });
            Ok(())
        };
        match self.reduction.take() {
            None => (0..parts.len()).try_for_each(|part| pass(self, part))?,
            Some(reduction) => {
                let reduced = reduction.reduce(parts.len(), &mut |part| pass(self, part));
                self.reduction = Some(reduction);
                reduced?;
            }
        }
        if let Some(reduction) = &mut self.reduction {
            let frozen = self.model.measured_frozen_gradients();
            if !frozen.is_empty() {
                reduction.sum(&frozen)?;
            }
        }
        self.model.measure_gradients()?;
        self.optimizer.update()?;
        value.ok_or_else(|| kasmina_torch_ext::Error::Torch("the step made no loss".to_owned()).into())
    }

    /// Returns inputs and targets of each part of the batch.
    fn parts(&self) -> Result<Vec<(Tensor, Tensor)>, ModelError> {
        let (inputs, targets) = self.batch;
        if self.parts.len() <= 1 {
            return Ok(vec![(inputs.shallow_clone(), targets.shallow_clone())]);
        }
        let targets = targets.f_split_with_sizes(self.parts, 0)?;
        Ok(inputs.f_split_with_sizes(self.parts, 0)?.into_iter().zip(targets).collect())
    }

    /// Runs forward and backward; returns the loss, 0-dim.
    fn pass(&mut self, inputs: &Tensor, targets: &Tensor) -> Result<Tensor, ModelError> {
        let logits = self.model.forward(inputs, Mode::Train)?;
        let value = (self.loss)(&logits, targets)?;
        // Without a seed to train, nothing learns in a frozen host.
        if self.model.network.frozen.is_none() || value.requires_grad() {
            value.f_backward()?;
        }
        Ok(value.f_detach()?)
    }

    /// Runs the step eagerly, while no other thread captures.
    pub(super) fn run_uncaptured(&mut self) -> Result<Tensor, ModelError> {
        let _no_capture = self.model.device().is_cuda().then(graph::backward);
        self.run().inspect_err(|_| {
            // The next backward must not add to incomplete gradients. Report the first error only.
            let _ = self.clear_gradients();
        })
    }

    pub(super) fn clear_gradients(&mut self) -> Result<(), ModelError> {
        self.optimizer.zero_grad()?;
        self.model.clear_gradients()
    }
}
