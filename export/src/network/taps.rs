//! Running the seeds of a saved network when its host reaches their slots.

use super::slot::OccupiedSlot;
use kasmina_plugin_api::{PluginError, Result, TapHandler};
use tch::Tensor;

/// The slots during one forward of the host.
pub(super) struct Taps<'a> {
    slots: &'a mut [Option<OccupiedSlot>],
    /// The first error, kept because a host may ignore the error that a tap returned.
    error: Option<PluginError>,
}

impl<'a> Taps<'a> {
    pub(super) fn new(slots: &'a mut [Option<OccupiedSlot>]) -> Self {
        Self { slots, error: None }
    }

    /// Returns the result of the forward, given that of the host.
    pub(super) fn finish<T>(self, output: Result<T>) -> Result<T> {
        self.error.map_or(output, Err)
    }
}

impl TapHandler for Taps<'_> {
    fn at(&mut self, slot: usize, x: Tensor) -> Result<Tensor> {
        let result = match self.slots.get_mut(slot) {
            None => {
                let count = self.slots.len();
                Err(PluginError::contract(format!("the host visited slot {slot}; it has {count} slots")))
            }
            Some(None) => Ok(x),
            Some(Some(occupied)) => occupied.forward(&x),
        };
        result.inspect_err(|error| {
            self.error.get_or_insert_with(|| error.clone());
        })
    }
}

/// The slots during one forward over the tokens that follow earlier ones. A seed may read all earlier tokens,
/// as attention does, so its inputs are kept and it runs on all of them.
pub(super) struct CachedTaps<'a> {
    inner: Taps<'a>,
    /// Inputs of each slot so far, `[N, T, C]`; `None` for an empty slot, and before the first tokens.
    inputs: &'a mut [Option<Tensor>],
}

impl<'a> CachedTaps<'a> {
    pub(super) fn new(slots: &'a mut [Option<OccupiedSlot>], inputs: &'a mut [Option<Tensor>]) -> Self {
        Self { inner: Taps::new(slots), inputs }
    }

    pub(super) fn finish<T>(self, output: Result<T>) -> Result<T> {
        self.inner.finish(output)
    }

    /// Adds the new inputs of a slot to the earlier ones, and returns all.
    fn extend(&mut self, slot: usize, x: &Tensor) -> Result<Tensor> {
        let Some(earlier) = self.inputs.get_mut(slot) else { return Ok(x.shallow_clone()) };
        let all = match earlier.take() {
            None => x.shallow_clone(),
            Some(earlier) => Tensor::f_cat(&[&earlier, x], 1)?,
        };
        *earlier = Some(all.shallow_clone());
        Ok(all)
    }
}

impl TapHandler for CachedTaps<'_> {
    fn at(&mut self, slot: usize, x: Tensor) -> Result<Tensor> {
        if !matches!(self.inner.slots.get(slot), Some(Some(_))) {
            return self.inner.at(slot, x);
        }
        let new = x.size().get(1).copied().unwrap_or(0);
        let all = self.extend(slot, &x)?;
        let length = all.size().get(1).copied().unwrap_or(0);
        Ok(self.inner.at(slot, all)?.f_narrow(1, length - new, new)?)
    }
}
