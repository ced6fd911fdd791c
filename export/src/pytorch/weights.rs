//! `model.safetensors`: the weights under the names of the generated modules.

use crate::names::Names;
use crate::{ExportError, Structure};
use kasmina_checkpoint::{Dtype, TensorData, TensorView, Tensors};
use std::collections::{BTreeMap, HashMap};

/// The content of a safetensors file.
pub(super) struct Weights {
    pub(super) bytes: Vec<u8>,
    /// The type of the host's first parameter, as PyTorch calls it.
    pub(super) dtype: &'static str,
}

/// The tensors of the network, by their names in the export. Tensors of seeds that take no part in the output
/// are left out.
pub(super) fn names<'t>(network: &Structure, weights: &'t Tensors) -> BTreeMap<String, TensorView<'t>> {
    let (saved, exported) = (Names::saved(network), Names::exported(network));
    let renamed = |name: &str| saved.renamed(name, &exported);
    weights.iter().filter_map(|(name, view)| Some((renamed(name)?, view))).collect()
}

/// Writes the tensors as the bytes of a safetensors file that PyTorch programs read.
///
/// # Errors
/// If the tensors cannot be written.
pub(super) fn bytes(network: &Structure, weights: &Tensors) -> Result<Weights, ExportError> {
    let names = names(network, weights);
    let data: Vec<TensorData<'_>> = names
        .iter()
        .map(|(name, view)| TensorData { name, dtype: view.dtype, shape: view.shape, bytes: view.bytes })
        .collect();
    let dtype = data.first().map_or("float32", |tensor| match tensor.dtype {
        Dtype::F64 => "float64",
        Dtype::F16 => "float16",
        Dtype::BF16 => "bfloat16",
        _ => "float32",
    });
    let format = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    let bytes = safetensors::serialize(data.iter().map(|tensor| (tensor.name, tensor)), Some(format))?;
    Ok(Weights { bytes, dtype })
}
