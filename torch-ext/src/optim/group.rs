//! Parameters of one owner with their optimizer state, arranged for one fused call.

use super::config::Algorithm;
use super::native::{Member, NativeGroup};
use super::state::GroupState;
use crate::error::Result;
use crate::sink::{NamedParameter, address};
use tch::{Device, Kind, Tensor};

#[derive(Debug)]
pub(super) struct Group {
    names: Vec<String>,
    parameters: Vec<Tensor>,
    state: State,
    /// Learning rate, 0-dimensional. It is on the device, so that a captured step uses its current value.
    rate: Tensor,
    /// Factor on the optimizer's learning rate.
    scale: f64,
    /// Steps over which the rate rises linearly to its full value.
    warm_up: u32,
    /// Steps made, up to `warm_up`.
    warmed: u32,
    /// 1 if a gradient of the current step is not finite, otherwise 0; 0-dimensional, on the device.
    found_inf: Tensor,
    /// Number of skipped steps; 0-dimensional, on the device.
    skipped: Tensor,
    /// The same tensors in the form that the fused calls take.
    native: NativeGroup,
}

#[derive(Debug)]
enum State {
    Sgd { momenta: Vec<Tensor> },
    AdamW { first: Vec<Tensor>, second: Vec<Tensor>, steps: Vec<Tensor>, all_steps: Tensor },
}

impl Group {
    pub(super) fn new(
        parameters: Vec<NamedParameter>,
        algorithm: &Algorithm,
        learning_rate: f64,
        settings: RateSettings,
    ) -> Result<Self> {
        let device = parameters.first().map_or(Device::Cpu, |p| p.tensor.device());
        let (names, parameters): (Vec<_>, Vec<_>) =
            parameters.into_iter().map(|p| (p.name, p.tensor)).unzip();
        let like = |tensors: &[Tensor]| {
            tch::no_grad(|| {
                tensors.iter().map(Tensor::f_zeros_like).collect::<std::result::Result<Vec<_>, _>>()
            })
        };
        let scalar = |value: f64| Tensor::f_full([], value, (Kind::Float, device));
        let state = match algorithm {
            Algorithm::Sgd(sgd) if sgd.momentum == 0.0 => State::Sgd { momenta: Vec::new() },
            Algorithm::Sgd(_) => State::Sgd { momenta: like(&parameters)? },
            Algorithm::AdamW(_) => {
                let all_steps = Tensor::f_zeros([parameters.len() as i64], (Kind::Float, device))?;
                let steps = (0..parameters.len() as i64)
                    .map(|i| all_steps.f_select(0, i))
                    .collect::<std::result::Result<_, _>>()?;
                State::AdamW { first: like(&parameters)?, second: like(&parameters)?, steps, all_steps }
            }
        };
        let (found_inf, one) = (scalar(0.0)?, scalar(1.0)?);
        let (first, second, steps): (&[Tensor], &[Tensor], &[Tensor]) = match &state {
            State::Sgd { momenta } => (momenta, &[], &[]),
            State::AdamW { first, second, steps, .. } => (first, second, steps),
        };
        let all_steps = match &state {
            State::Sgd { .. } => None,
            State::AdamW { all_steps, .. } => Some(all_steps),
        };
        let native = NativeGroup::new([&parameters, first, second, steps], all_steps, &found_inf, &one)?;
        Ok(Self {
            names,
            parameters,
            state,
            rate: scalar(learning_rate * settings.scale * warm_up_factor(0, settings.warm_up))?,
            scale: settings.scale,
            warm_up: settings.warm_up,
            warmed: 0,
            found_inf,
            skipped: scalar(0.0)?,
            native,
        })
    }

    pub(super) fn set_rate(&mut self, learning_rate: f64) -> Result<()> {
        let rate = learning_rate * self.scale * warm_up_factor(self.warmed, self.warm_up);
        let _ = self.rate.f_fill_(rate)?;
        Ok(())
    }

    /// Sets the factor of the learning rate; returns whether it changed.
    pub(super) fn set_scale(&mut self, scale: f64) -> bool {
        std::mem::replace(&mut self.scale, scale) != scale
    }

    /// Counts a step of the warm-up and raises the rate. Does nothing after the end of the warm-up.
    pub(super) fn advance_warm_up(&mut self, learning_rate: f64) -> Result<()> {
        if self.warmed >= self.warm_up {
            return Ok(());
        }
        self.warmed += 1;
        self.set_rate(learning_rate)
    }

    /// Whether `parameters` have the names of this group's parameters, in the same order.
    pub(super) fn is_named_like(&self, parameters: &[NamedParameter]) -> bool {
        self.names.iter().eq(parameters.iter().map(|p| &p.name))
    }

    /// Returns this group over other tensors of the same names, with its state and counters copied to their
    /// device.
    pub(super) fn moved(
        &self,
        parameters: Vec<NamedParameter>,
        algorithm: &Algorithm,
        learning_rate: f64,
    ) -> Result<Self> {
        let settings = RateSettings { scale: self.scale, warm_up: self.warm_up };
        let mut moved = Self::new(parameters, algorithm, learning_rate, settings)?;
        moved.warmed = self.warmed;
        moved.set_rate(learning_rate)?;
        let (mut state, mut held) = (moved.tensors(), self.tensors());
        state.extend([("skipped".to_owned(), moved.skipped.shallow_clone())]);
        held.extend([("skipped".to_owned(), self.skipped.shallow_clone())]);
        tch::no_grad(|| {
            state.into_iter().zip(held).try_for_each(|((_, mut to), (_, from))| to.f_copy_(&from).map(drop))
        })?;
        Ok(moved)
    }

    /// Copies the state of another group for the parameters that have the same name and shape in both.
    pub(super) fn copy_matching_state(&self, held: &Self) -> Result<()> {
        let before: std::collections::BTreeMap<String, Tensor> = held.tensors().into_iter().collect();
        tch::no_grad(|| {
            for (name, mut to) in self.tensors() {
                if let Some(from) = before.get(&name).filter(|from| from.size() == to.size()) {
                    to.f_copy_(from)?;
                }
            }
            self.skipped.shallow_clone().f_copy_(&held.skipped)?;
            Ok(())
        })
    }

    /// Copies another group's rate factor and its position in the warm-up.
    pub(super) fn copy_rate_state(&mut self, held: &Self, learning_rate: f64) -> Result<()> {
        (self.scale, self.warm_up, self.warmed) = (held.scale, held.warm_up, held.warmed);
        self.set_rate(learning_rate)
    }

    /// Returns the scalar state.
    pub(super) fn scalar_state(&self) -> GroupState {
        GroupState { scale: self.scale, warm_up: self.warm_up, warmed: self.warmed }
    }

    /// Restores the scalar state.
    pub(super) fn restore_scalar_state(&mut self, saved: GroupState, learning_rate: f64) -> Result<()> {
        (self.scale, self.warm_up, self.warmed) = (saved.scale, saved.warm_up, saved.warmed);
        self.set_rate(learning_rate)
    }

    /// Returns [`tensors`](Self::tensors) and `<owner>.skipped_steps`.
    pub(super) fn all_tensors(&self, owner: &str) -> Vec<(String, Tensor)> {
        let mut all = self.tensors();
        all.push((format!("{owner}.skipped_steps"), self.skipped.shallow_clone()));
        all
    }

    /// Returns the state as tensors named `<parameter>.<part>`, in a stable order; handles, not copies.
    pub(super) fn tensors(&self) -> Vec<(String, Tensor)> {
        let named = |part: &'static str, tensors: &[Tensor]| -> Vec<(String, Tensor)> {
            let pairs = self.names.iter().zip(tensors);
            pairs.map(|(name, t)| (format!("{name}.{part}"), t.shallow_clone())).collect()
        };
        match &self.state {
            State::Sgd { momenta } => named("momentum_buffer", momenta),
            State::AdamW { first, second, steps, .. } => {
                let mut all = named("exp_avg", first);
                all.extend(named("exp_avg_sq", second));
                all.extend(named("step", steps));
                all
            }
        }
    }

    /// Returns the name of the first parameter that the other group also contains.
    pub(super) fn shares_with(&self, other: &Self) -> Option<&str> {
        let theirs: std::collections::BTreeSet<usize> = other.parameters.iter().filter_map(address).collect();
        self.parameters
            .iter()
            .zip(&self.names)
            .find(|(p, _)| address(p).is_some_and(|a| theirs.contains(&a)))
            .map(|(_, name)| name.as_str())
    }

    pub(super) fn parameters(&self) -> &[Tensor] {
        &self.parameters
    }

    pub(super) fn skipped(&self) -> Result<u64> {
        Ok(self.skipped.f_double_value(&[])? as u64)
    }

    pub(super) fn fingerprint(&self) -> u64 {
        self.native.fingerprint()
    }

    /// Returns the parts of this group that operations on all groups use.
    pub(super) fn member(&self) -> Member<'_> {
        let (found, skipped) = (&self.found_inf, &self.skipped);
        Member { native: &self.native, rate: &self.rate, found, skipped }
    }

    /// Runs the fused call. `found_inf` must have been set to 0 before.
    pub(super) fn step(&mut self, algorithm: &Algorithm) -> Result<()> {
        self.native.step(algorithm, &self.rate)
    }
}

/// Settings of a group's learning rate relative to the optimizer's.
#[derive(Debug, Clone, Copy)]
pub(super) struct RateSettings {
    pub(super) scale: f64,
    pub(super) warm_up: u32,
}

/// Returns the factor on the rate after `warmed` steps of a warm-up: `(warmed + 1) / warm_up`, and 1 after
/// its end.
fn warm_up_factor(warmed: u32, warm_up: u32) -> f64 {
    if warmed >= warm_up { 1.0 } else { f64::from(warmed + 1) / f64::from(warm_up) }
}
