//! TorchScript modules of the host process across the plugin interface: exported by the host process,
//! imported as [`Script`] in the plugin.

use super::objects::{ScriptBox, ScriptObject, ScriptObject_TO};
use super::wire::{RawTensor, TensorRef, Wire, WireVariable, from_wire, to_wire};
use crate::Result;
use crate::guard::guard;
use crate::services::Script;
use abi_stable::sabi_trait::TD_Opaque;
use abi_stable::std_types::RVec;
use tch::Tensor;

/// The side of the host process. Panics become errors.
struct ExportedScript(Box<dyn Script>);

impl ScriptObject for ExportedScript {
    fn variables(&self) -> Wire<RVec<WireVariable>> {
        to_wire(guard(|| self.0.variables()).result, |all| all.into_iter().map(WireVariable::new).collect())
    }
    fn forward(&mut self, x: TensorRef<'_>, train: bool) -> Wire<RawTensor> {
        to_wire(guard(|| self.0.forward(&x.view(), train)).result, RawTensor::new)
    }
}

pub(super) fn export(script: Box<dyn Script>) -> ScriptBox {
    ScriptObject_TO::from_value(ExportedScript(script), TD_Opaque)
}

/// The side of the plugin.
pub(super) struct ImportedScript(pub(super) ScriptBox);

impl Script for ImportedScript {
    fn variables(&self) -> Result<Vec<(String, Tensor)>> {
        let all = from_wire(self.0.variables())?;
        Ok(all.into_iter().map(|v| (v.name.into_string(), v.tensor.take())).collect())
    }
    fn forward(&mut self, x: &Tensor, train: bool) -> Result<Tensor> {
        from_wire(self.0.forward(TensorRef::new(x), train)).map(RawTensor::take)
    }
}
