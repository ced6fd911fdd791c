//! The shadow check: verifies that an isolated seed passes no gradient to the host.
//!
//! The input of an isolated seed is detached, so a host parameter's gradient does not depend on the seed's. A
//! plugin can still break this by using another tensor of the host than its input. The check runs forward and
//! backward twice, beside the training step: once unchanged, and once with the seed's output detached. Any
//! difference in a host gradient is a breach.

use super::swapping::Snapshot;
use super::{ModelError, MorphogeneticModel};
use crate::graft::{Pass, SeedSlot};
use kasmina_plugin_api::Mode;
use kasmina_torch_ext::cuda::graph;
use kasmina_torch_ext::rng::RngFork;
use tch::{Kind, Tensor};

/// Largest difference that counts as rounding, relative to the largest host gradient.
const TOLERANCE: f64 = 1e-5;

impl MorphogeneticModel {
    /// Whether isolation is to be checked in the next step: in every `isolation_check_interval`-th
    /// measurement, if a seed is isolated.
    pub fn isolation_check_due(&self) -> bool {
        self.telemetry.checks_isolation_now() && self.slots.iter().any(SeedSlot::promises_isolation)
    }

    /// Runs the shadow check of every isolated seed on a batch. Parameters, gradients, buffers, generators
    /// and the plugins' state are unchanged afterwards. The verdicts are queued on the device and belong to
    /// the next gradient capture. No host sync.
    ///
    /// # Shapes
    /// `x`: a training batch, as for [`forward`](Self::forward). `loss` maps logits to a 0-dim tensor.
    ///
    /// # Errors
    /// If a forward, the loss or a backward fails.
    pub fn check_isolation(
        &mut self,
        x: &Tensor,
        loss: &mut dyn FnMut(&Tensor) -> Result<Tensor, ModelError>,
    ) -> Result<(), ModelError> {
        let isolated: Vec<usize> =
            (0..self.slots.len()).filter(|i| self.slots[*i].promises_isolation()).collect();
        if isolated.is_empty() {
            return Ok(());
        }
        let _no_capture = self.network.device.is_cuda().then(graph::backward);
        self.network.measure_frozen(true)?;
        let _fork = RngFork::here()?;
        let snapshot = Snapshot::of(&self.network, &self.slots)?;
        let result = self.compare_shadows(x, loss, &isolated, &snapshot);
        let restored = snapshot.restore(&mut self.slots, |_| false);
        // If both fail, report the first error.
        let result = result.and_then(|breaches| restored.map(|()| breaches))?;
        for (index, breach) in isolated.into_iter().zip(result) {
            self.slots[index].note_isolation(breach);
        }
        Ok(())
    }

    /// Returns for each isolated slot whether detaching its seed changes a host gradient (0-dim booleans).
    fn compare_shadows(
        &mut self,
        x: &Tensor,
        loss: &mut dyn FnMut(&Tensor) -> Result<Tensor, ModelError>,
        isolated: &[usize],
        snapshot: &Snapshot,
    ) -> Result<Vec<Tensor>, ModelError> {
        let real = self.host_gradients(x, loss, None)?;
        isolated
            .iter()
            .map(|index| {
                snapshot.restore(&mut self.slots, |_| false)?;
                let shadow = self.host_gradients(x, loss, Some(*index))?;
                differ(&real, &shadow, self.network.device)
            })
            .collect()
    }

    /// Returns the host's gradients of one training forward, without changing those stored in parameters.
    fn host_gradients(
        &mut self,
        x: &Tensor,
        loss: &mut dyn FnMut(&Tensor) -> Result<Tensor, ModelError>,
        detached: Option<usize>,
    ) -> Result<Vec<Tensor>, ModelError> {
        let pass = Pass { detached, ..Pass::new(Mode::Train, self.telemetry.step()) };
        let logits = self.pass(x, pass)?;
        let loss = loss(&logits)?;
        let parameters: Vec<&Tensor> = self.host_parameters().map(|p| &p.tensor).collect();
        Ok(Tensor::f_run_backward(&[loss], &parameters, false, false)?)
    }
}

/// Returns whether two lists of gradients differ by more than rounding, as a 0-dim boolean on the device.
///
/// Gradients that are not finite only with the seed count as a difference; gradients that are not finite
/// without it either do not.
///
/// # Shapes
/// `real` and `shadow`: one gradient per host parameter, undefined if the loss does not reach it.
fn differ(real: &[Tensor], shadow: &[Tensor], device: tch::Device) -> Result<Tensor, ModelError> {
    let mut worst = Tensor::f_zeros([], (Kind::Float, device))?;
    let mut scale = Tensor::f_zeros([], (Kind::Float, device))?;
    let largest = |t: &Tensor| t.f_abs()?.f_max()?.f_to_kind(Kind::Float);
    for (real, shadow) in real.iter().zip(shadow) {
        // An undefined gradient counts as 0.
        let difference = match (real.defined(), shadow.defined()) {
            (false, false) => continue,
            (true, true) => real.f_sub(shadow)?,
            (true, false) => real.shallow_clone(),
            (false, true) => shadow.shallow_clone(),
        };
        if difference.numel() == 0 {
            continue;
        }
        worst = worst.f_maximum(&largest(&difference)?)?;
        if shadow.defined() {
            scale = scale.f_maximum(&largest(shadow)?)?;
        }
    }
    // A comparison with NaN is false, so test for "not within" rather than "beyond" the tolerance.
    let within = worst.f_le_tensor(&scale.f_mul_scalar(TOLERANCE)?)?;
    Ok(within.f_logical_not()?.f_logical_and(&scale.f_isfinite()?)?)
}
