//! Weights as the bytes of a safetensors file that PyTorch programs read.

use crate::names::Names;
use crate::{ExportError, Structure};
use kasmina_checkpoint::{Dtype, TensorData, TensorView, Tensors};
use kasmina_trainer::run::tensor_of;
use std::collections::{BTreeMap, HashMap};
use tch::Kind;

/// The content of a safetensors file.
pub(crate) struct Weights {
    pub(crate) bytes: Vec<u8>,
    /// The type of the first tensor, as PyTorch calls it.
    pub(crate) dtype: &'static str,
}

/// The tensors of the network, by their names in an export. Tensors of seeds that take no part in the output
/// are left out.
pub(crate) fn exported<'t>(network: &Structure, weights: &'t Tensors) -> BTreeMap<String, TensorView<'t>> {
    let (saved, exported) = (Names::saved(network), Names::exported(network));
    let renamed = |name: &str| saved.renamed(name, &exported);
    weights.iter().filter_map(|(name, view)| Some((renamed(name)?, view))).collect()
}

/// Writes tensors. Those of a floating point type are converted to `dtype`, if there is one.
///
/// # Errors
/// If the tensors cannot be converted or written.
pub(crate) fn bytes(
    tensors: &BTreeMap<String, TensorView<'_>>,
    dtype: Option<Kind>,
) -> Result<Weights, ExportError> {
    let converted = tensors.iter().map(|(name, view)| converted(name, *view, dtype));
    let converted = converted.collect::<Result<Vec<_>, _>>()?;
    let data: Vec<(&String, TensorData<'_>)> = tensors
        .iter()
        .zip(&converted)
        .map(|((name, view), converted)| {
            let (dtype, bytes) =
                converted.as_ref().map_or((view.dtype, view.bytes), |(dtype, bytes)| (*dtype, bytes));
            (name, TensorData { name, dtype, shape: view.shape, bytes })
        })
        .collect();
    let dtype = data.first().map_or("float32", |(_, tensor)| match tensor.dtype {
        Dtype::F64 => "float64",
        Dtype::F16 => "float16",
        Dtype::BF16 => "bfloat16",
        _ => "float32",
    });
    let format = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    let bytes = safetensors::serialize(data.iter().map(|(name, tensor)| (name, tensor)), Some(format))?;
    Ok(Weights { bytes, dtype })
}

/// Returns the elements of a tensor in another type; `None` if they stay as they are.
fn converted(
    name: &str,
    view: TensorView<'_>,
    dtype: Option<Kind>,
) -> Result<Option<(Dtype, Vec<u8>)>, ExportError> {
    let wanted = match dtype {
        Some(Kind::BFloat16) => Dtype::BF16,
        Some(Kind::Float) => Dtype::F32,
        _ => return Ok(None),
    };
    if view.dtype == wanted || !matches!(view.dtype, Dtype::F64 | Dtype::F32 | Dtype::F16 | Dtype::BF16) {
        return Ok(None);
    }
    let kind = if wanted == Dtype::BF16 { Kind::BFloat16 } else { Kind::Float };
    let tensor = tensor_of(name, view)?.f_to_kind(kind)?.f_flatten(0, -1)?;
    let mut bytes = vec![0; tensor.numel() * kind.elt_size_in_bytes()];
    tensor.f_copy_data_u8(&mut bytes, tensor.numel())?;
    Ok(Some((wanted, bytes)))
}
