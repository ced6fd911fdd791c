//! One owner's parameters with their state, laid out for one fused call.

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
    /// The rate lives on the device, so that a captured step would follow it.
    rate: Tensor,
    /// Its factor on the optimizer's rate.
    scale: f64,
    /// Steps over which its rate rises from nearly nothing.
    warm_up: u32,
    /// Steps that it was asked to make; stands still once the warm-up is over.
    warmed: u32,
    found_inf: Tensor,
    skipped: Tensor,
    /// The same tensors as the fused calls take them.
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
        terms: Terms,
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
            rate: scalar(learning_rate * terms.scale * share(0, terms.warm_up))?,
            scale: terms.scale,
            warm_up: terms.warm_up,
            warmed: 0,
            found_inf,
            skipped: scalar(0.0)?,
            native,
        })
    }

    pub(super) fn set_rate(&mut self, learning_rate: f64) -> Result<()> {
        let rate = learning_rate * self.scale * share(self.warmed, self.warm_up);
        let _ = self.rate.f_fill_(rate)?;
        Ok(())
    }

    /// Sets the factor of the learning rate; returns whether it changed.
    pub(super) fn set_scale(&mut self, scale: f64) -> bool {
        std::mem::replace(&mut self.scale, scale) != scale
    }

    /// Counts a step of the warm-up and raises the rate; does nothing once it is over.
    pub(super) fn warm(&mut self, learning_rate: f64) -> Result<()> {
        if self.warmed >= self.warm_up {
            return Ok(());
        }
        self.warmed += 1;
        self.set_rate(learning_rate)
    }

    /// Whether these go by the names of this group's, in its order.
    pub(super) fn is_named_like(&self, parameters: &[NamedParameter]) -> bool {
        self.names.iter().eq(parameters.iter().map(|p| &p.name))
    }

    /// The same group over other tensors of the same names, its state and clocks copied to where they are.
    pub(super) fn moved(
        &self,
        parameters: Vec<NamedParameter>,
        algorithm: &Algorithm,
        learning_rate: f64,
    ) -> Result<Self> {
        let terms = Terms { scale: self.scale, warm_up: self.warm_up };
        let mut moved = Self::new(parameters, algorithm, learning_rate, terms)?;
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

    /// Takes the state of another group over, where names and shapes are the same.
    pub(super) fn inherit(&self, held: &Self) -> Result<()> {
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

    /// Goes on in another group's warm-up, on its terms.
    pub(super) fn go_on(&mut self, held: &Self, learning_rate: f64) -> Result<()> {
        (self.scale, self.warm_up, self.warmed) = (held.scale, held.warm_up, held.warmed);
        self.set_rate(learning_rate)
    }

    /// The numbers that it keeps between two steps.
    pub(super) fn kept(&self) -> GroupState {
        GroupState { scale: self.scale, warm_up: self.warm_up, warmed: self.warmed }
    }

    /// Goes on from numbers that were kept.
    pub(super) fn go_on_from(&mut self, kept: GroupState, learning_rate: f64) -> Result<()> {
        (self.scale, self.warm_up, self.warmed) = (kept.scale, kept.warm_up, kept.warmed);
        self.set_rate(learning_rate)
    }

    /// As [`tensors`](Self::tensors), and the count of skipped steps, which goes by the owner.
    pub(super) fn all_tensors(&self, owner: &str) -> Vec<(String, Tensor)> {
        let mut all = self.tensors();
        all.push((format!("{owner}.skipped_steps"), self.skipped.shallow_clone()));
        all
    }

    /// The state as named tensors, by parameter, in a stable order; the tensors themselves, not copies.
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

    /// The first parameter that the other group holds too.
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

    /// What takes part in what all groups do at once.
    pub(super) fn member(&self) -> Member<'_> {
        let (found, skipped) = (&self.found_inf, &self.skipped);
        Member { native: &self.native, rate: &self.rate, found, skipped }
    }

    /// The fused call. Its flag must have been lowered.
    pub(super) fn step(&mut self, algorithm: &Algorithm) -> Result<()> {
        self.native.step(algorithm, &self.rate)
    }
}

/// What a group's rate is beside the optimizer's.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms {
    pub(super) scale: f64,
    pub(super) warm_up: u32,
}

/// The share of the rate after so many steps of a warm-up: `(n + 1) / warm_up`, and 1 from its end on.
fn share(warmed: u32, warm_up: u32) -> f64 {
    if warmed >= warm_up { 1.0 } else { f64::from(warmed + 1) / f64::from(warm_up) }
}
