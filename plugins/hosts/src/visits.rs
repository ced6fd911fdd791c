//! A tap handler for tests that records the features at each slot and returns them unchanged.

use kasmina_plugin_api::{Result, TapHandler};
use tch::Tensor;

/// Size and strides of the features at each visited slot, in order.
#[derive(Default)]
pub(crate) struct Visits(pub(crate) Vec<(Vec<i64>, Vec<i64>)>);

impl Visits {
    pub(crate) fn sizes(&self) -> Vec<Vec<i64>> {
        self.0.iter().map(|(size, _)| size.clone()).collect()
    }
}

impl TapHandler for Visits {
    fn at(&mut self, _: usize, x: Tensor) -> Result<Tensor> {
        self.0.push((x.size(), x.stride()));
        Ok(x)
    }
}
