//! Weights as the bytes of a safetensors file that PyTorch programs read.

use crate::names::Names;
use crate::{ExportError, Structure};
use kasmina_checkpoint::{Dtype, TensorData, TensorView, Tensors};
use kasmina_trainer::run::tensor_of;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use tch::{Kind, TchError, Tensor};

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

/// Returns the tensors of the host, by its own names, and those of the seeds that take part in the output, by
/// their names in a checkpoint.
pub(crate) fn split<'t>(
    names: &Names,
    weights: &'t Tensors,
) -> (BTreeMap<&'t str, TensorView<'t>>, BTreeMap<&'t str, TensorView<'t>>) {
    let host = weights.iter().filter_map(|(name, view)| Some((name.strip_prefix(&names.host)?, view)));
    let seeds = weights.iter().filter(|(name, _)| names.is_of_seed(name));
    (host.collect(), seeds.collect())
}

/// Returns the tensors of a host, which have its own names, and those of its seeds by their names in a
/// checkpoint. `path` is used in error messages.
///
/// # Errors
/// If they cannot be written.
pub(crate) fn join<'t>(
    names: &Names,
    host: impl IntoIterator<Item = (&'t str, TensorView<'t>)>,
    seeds: impl IntoIterator<Item = (String, TensorView<'t>)>,
    path: &Path,
) -> Result<Tensors, ExportError> {
    let host = host.into_iter().map(|(name, view)| (format!("{}{name}", names.host), view));
    Ok(Tensors::parse(path, bytes(&host.chain(seeds).collect(), None)?.bytes)?)
}

/// Writes tensors. Those of a floating point type are converted to `dtype`, if there is one.
///
/// # Errors
/// If the tensors cannot be converted or written.
pub(crate) fn bytes<N: AsRef<str>>(
    tensors: &BTreeMap<N, TensorView<'_>>,
    dtype: Option<Kind>,
) -> Result<Weights, ExportError> {
    let converted = tensors.iter().map(|(name, view)| converted(name.as_ref(), *view, dtype));
    let converted = converted.collect::<Result<Vec<_>, _>>()?;
    let data: Vec<(&str, TensorData<'_>)> = tensors
        .iter()
        .zip(&converted)
        .map(|((name, view), converted)| {
            let (dtype, bytes) =
                converted.as_ref().map_or((view.dtype, view.bytes), |(dtype, bytes)| (*dtype, bytes));
            let name = name.as_ref();
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
    Ok(Some((wanted, elements(&tensor_of(name, view)?.f_to_kind(kind)?)?)))
}

/// Returns the elements of a tensor as bytes.
///
/// # Errors
/// If libtorch fails.
pub(crate) fn elements(tensor: &Tensor) -> Result<Vec<u8>, TchError> {
    let flat = tensor.f_contiguous()?.f_flatten(0, -1)?;
    let mut bytes = vec![0; flat.numel() * flat.kind().elt_size_in_bytes()];
    flat.f_copy_data_u8(&mut bytes, flat.numel())?;
    Ok(bytes)
}
