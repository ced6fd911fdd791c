//! The shadow check: proof, on demand, that an isolated seed gives the host no gradient.
//!
//! Isolation promises that a host parameter's gradient is what it would have been without the seed.
//! Structurally it is: the seed's input is detached. A plugin can still break it, by keeping what it was not
//! given. So the same step is taken twice, beside the real one: once as it is, and once with the seed's
//! values but without its gradients. Any difference in a host gradient is a breach.

use super::swapping::Snapshot;
use super::{ModelError, MorphogeneticModel};
use crate::graft::{Pass, SeedSlot};
use kasmina_plugin_api::Mode;
use kasmina_torch_ext::cuda::graph;
use kasmina_torch_ext::rng::RngFork;
use tch::{Kind, Tensor};

/// Relative to the largest host gradient: below it lies what kernels add up in another order.
const TOLERANCE: f64 = 1e-5;

impl MorphogeneticModel {
    /// Whether the step to come is one whose isolation is to be checked: every `isolation_check_interval`-th
    /// capture, while a seed is isolated.
    pub fn isolation_check_due(&self) -> bool {
        self.telemetry.checks_isolation_now() && self.slots.iter().any(SeedSlot::promises_isolation)
    }

    /// Checks every isolated seed on this batch, beside the training step: parameters, gradients, running
    /// statistics, generators and the plugins' own state are as before. The verdict is queued on the device
    /// and read at the edge of the epoch, as a violation of the capture that comes next. No host sync.
    ///
    /// # Shapes
    /// `x`: a training batch; `loss` makes a 0-dim tensor of the logits.
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
        let _fork = RngFork::here()?;
        let snapshot = Snapshot::of(&self.network, &self.slots)?;
        let result = self.compare_shadows(x, loss, &isolated, &snapshot);
        let put_back = snapshot.restore(&mut self.slots, |_| false);
        // What went wrong first is what is to be told.
        let result = result.and_then(|breaches| put_back.map(|()| breaches))?;
        for (index, breach) in isolated.into_iter().zip(result) {
            self.slots[index].note_isolation(breach);
        }
        Ok(())
    }

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

    /// The host's gradients of one training forward, without touching those that parameters hold.
    fn host_gradients(
        &mut self,
        x: &Tensor,
        loss: &mut dyn FnMut(&Tensor) -> Result<Tensor, ModelError>,
        severed: Option<usize>,
    ) -> Result<Vec<Tensor>, ModelError> {
        let pass =
            Pass { mode: Mode::Train, step: self.telemetry.step(), watch: false, overrides: &[], severed };
        let logits = self.pass(x, pass)?;
        let loss = loss(&logits)?;
        let parameters: Vec<&Tensor> = self.host_parameters().map(|p| &p.tensor).collect();
        Ok(Tensor::f_run_backward(&[loss], &parameters, false, false)?)
    }
}

/// Whether two lists of gradients differ by more than rounding: a 0-dim boolean on the device. Gradients that
/// are not finite only with the seed are a difference; where they are not finite without it either, nothing
/// can be told.
fn differ(real: &[Tensor], shadow: &[Tensor], device: tch::Device) -> Result<Tensor, ModelError> {
    let mut worst = Tensor::f_zeros([], (Kind::Float, device))?;
    let mut scale = Tensor::f_zeros([], (Kind::Float, device))?;
    let largest = |t: &Tensor| t.f_abs()?.f_max()?.f_to_kind(Kind::Float);
    for (real, shadow) in real.iter().zip(shadow) {
        // A parameter that the loss does not reach has no gradient, which is a gradient of 0.
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
    // NaN is greater than nothing, and both maxima carry it: "not within" instead of "beyond".
    let within = worst.f_le_tensor(&scale.f_mul_scalar(TOLERANCE)?)?;
    Ok(within.f_logical_not()?.f_logical_and(&scale.f_isfinite()?)?)
}
