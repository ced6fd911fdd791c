//! One owner's parameters with their state, laid out for one fused call.

use super::config::Algorithm;
use crate::error::Result;
use crate::ffi;
use crate::sink::NamedParameter;
use tch::{Device, Kind, Tensor};

#[derive(Debug)]
pub(super) struct Group {
    names: Vec<String>,
    parameters: Vec<Tensor>,
    state: State,
    /// The rate lives on the device, so that a captured step would follow it.
    rate: Tensor,
    scale: f64,
    found_inf: Tensor,
    one: Tensor,
    skipped: Tensor,
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
        scale: f64,
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
        Ok(Self {
            names,
            parameters,
            state,
            rate: scalar(learning_rate * scale)?,
            scale,
            found_inf: scalar(0.0)?,
            one: scalar(1.0)?,
            skipped: scalar(0.0)?,
        })
    }

    pub(super) fn set_rate(&mut self, learning_rate: f64) -> Result<()> {
        let _ = self.rate.f_fill_(learning_rate * self.scale)?;
        Ok(())
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

    pub(super) fn step(&mut self, algorithm: &Algorithm) -> Result<()> {
        let parameters = ffi::handles(&self.parameters);
        let n = parameters.len();
        let (rate, found) = (self.rate.as_ptr(), self.found_inf.as_ptr());
        let (one, skipped) = (self.one.as_ptr(), self.skipped.as_ptr());
        let code = match (algorithm, &self.state) {
            (Algorithm::Sgd(sgd), State::Sgd { momenta }) => {
                let momenta = ffi::handles(momenta);
                // SAFETY: all handles are live for the call; `momenta` has `n` entries or is not read.
                unsafe {
                    ffi::kte_sgd_step(
                        parameters.as_ptr(),
                        momenta.as_ptr(),
                        n,
                        rate,
                        sgd.momentum,
                        sgd.weight_decay,
                        sgd.nesterov,
                        found,
                        one,
                        skipped,
                    )
                }
            }
            (Algorithm::AdamW(adam), State::AdamW { first, second, steps, all_steps }) => {
                let (first, second, steps) = (ffi::handles(first), ffi::handles(second), ffi::handles(steps));
                // SAFETY: all handles are live for the call and every list has `n` entries.
                unsafe {
                    ffi::kte_adamw_step(
                        parameters.as_ptr(),
                        first.as_ptr(),
                        second.as_ptr(),
                        steps.as_ptr(),
                        all_steps.as_ptr(),
                        n,
                        rate,
                        adam.beta1,
                        adam.beta2,
                        adam.weight_decay,
                        adam.eps,
                        found,
                        one,
                        skipped,
                    )
                }
            }
            // A group is made by the optimizer for its own algorithm, which never changes.
            _ => 0,
        };
        ffi::check(code)
    }
}

/// What makes two handles the same parameter: their storage. Empty tensors have none.
fn address(tensor: &Tensor) -> Option<usize> {
    let address = tensor.data_ptr() as usize;
    (address != 0).then_some(address)
}
