//! TorchScript modules of the host process on their way across: offered on one side, used as [`Script`] on
//! the other.

use super::objects::{ScriptBox, ScriptObject, ScriptObject_TO};
use super::wire::{RawTensor, TensorRef, Wire, WireVariable, from_wire, to_wire};
use crate::Result;
use crate::guard::guard;
use crate::services::Script;
use abi_stable::sabi_trait::TD_Opaque;
use abi_stable::std_types::RVec;
use tch::Tensor;

/// A TorchScript module as the host process offers it.
struct Offered(Box<dyn Script>);

impl ScriptObject for Offered {
    fn variables(&self) -> Wire<RVec<WireVariable>> {
        to_wire(guard(|| self.0.variables()).result, |all| all.into_iter().map(WireVariable::new).collect())
    }
    fn forward(&mut self, x: TensorRef<'_>, train: bool) -> Wire<RawTensor> {
        to_wire(guard(|| self.0.forward(&x.view(), train)).result, RawTensor::new)
    }
}

pub(super) fn offer(script: Box<dyn Script>) -> ScriptBox {
    ScriptObject_TO::from_value(Offered(script), TD_Opaque)
}

/// A TorchScript module as a plugin calls it.
pub(super) struct Received(pub(super) ScriptBox);

impl Script for Received {
    fn variables(&self) -> Result<Vec<(String, Tensor)>> {
        let all = from_wire(self.0.variables())?;
        Ok(all.into_iter().map(|v| (v.name.into_string(), v.tensor.take())).collect())
    }
    fn forward(&mut self, x: &Tensor, train: bool) -> Result<Tensor> {
        from_wire(self.0.forward(TensorRef::new(x), train)).map(RawTensor::take)
    }
}
