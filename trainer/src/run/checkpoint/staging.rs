//! Staging: copying the tensors of a checkpoint to host memory, where training does not change them.

use kasmina_checkpoint::{Dtype, TensorData, TensorView};
use kasmina_plugin_api::PluginError;
use kasmina_torch_ext::staging::HostBuffer;
use std::collections::BTreeMap;
use std::ops::Range;
use tch::{Device, Kind, Tensor};

/// A buffer has room for one `GROWTH`-th more than the staged bytes.
const GROWTH: usize = 4;

/// The tensors of the three files of a checkpoint, by name.
#[derive(Debug, Default)]
pub(super) struct Tensors {
    pub(super) model: Vec<(String, Tensor)>,
    pub(super) optimizer: Vec<(String, Tensor)>,
    pub(super) training: Vec<(String, Tensor)>,
}

impl Tensors {
    fn all(&self) -> impl Iterator<Item = &Tensor> {
        self.model.iter().chain(&self.optimizer).chain(&self.training).map(|(_, tensor)| tensor)
    }
}

/// Copies of tensors in host memory, which can be sent to another thread.
#[derive(Debug)]
pub(super) struct Staged {
    buffer: HostBuffer,
    pub(super) model: Vec<Copied>,
    pub(super) optimizer: Vec<Copied>,
    pub(super) training: Vec<Copied>,
}

/// A copy of a tensor in a buffer.
#[derive(Debug)]
pub(super) struct Copied {
    name: String,
    dtype: Dtype,
    shape: Vec<usize>,
    place: Range<usize>,
}

/// Returns `earlier` if it is large enough for the tensors, otherwise a new buffer with room for growth.
pub(super) fn buffer_for(
    tensors: &Tensors,
    device: Device,
    earlier: Option<HostBuffer>,
) -> Result<HostBuffer, PluginError> {
    let needed = HostBuffer::needed(tensors.all());
    match earlier.filter(|buffer| buffer.capacity() >= needed) {
        Some(buffer) => Ok(buffer),
        None => {
            HostBuffer::new(needed + needed / GROWTH, device).map_err(|e| PluginError::torch(&e.to_string()))
        }
    }
}

impl Staged {
    /// Copies tensors of any shape into a buffer that is large enough. Waits for the device. Returns the
    /// buffer with the error if a copy fails.
    pub(super) fn new(tensors: Tensors, mut buffer: HostBuffer) -> Result<Self, (PluginError, HostBuffer)> {
        match Self::copy(tensors, &mut buffer) {
            Ok([model, optimizer, training]) => Ok(Self { buffer, model, optimizer, training }),
            Err(error) => Err((error, buffer)),
        }
    }

    fn copy(tensors: Tensors, buffer: &mut HostBuffer) -> Result<[Vec<Copied>; 3], PluginError> {
        buffer.clear();
        let mut copy = |tensors: Vec<(String, Tensor)>| -> Result<Vec<Copied>, PluginError> {
            tensors.into_iter().map(|(name, tensor)| copied(buffer, name, &tensor)).collect()
        };
        Ok([copy(tensors.model)?, copy(tensors.optimizer)?, copy(tensors.training)?])
    }

    /// Returns some of the copies as the checkpoint format reads them.
    pub(super) fn data<'a>(&'a self, copies: &'a [Copied]) -> Vec<TensorData<'a>> {
        let data = |copied: &'a Copied| TensorData {
            name: &copied.name,
            dtype: copied.dtype,
            shape: &copied.shape,
            bytes: self.buffer.get(copied.place.clone()),
        };
        copies.iter().map(data).collect()
    }

    /// Returns the buffer, for reuse.
    pub(super) fn into_buffer(self) -> HostBuffer {
        self.buffer
    }
}

/// Returns tensors as the bytes of a safetensors file. Waits for the device.
///
/// # Errors
/// If the type of a tensor is not supported, or libtorch fails.
pub(super) fn to_bytes(tensors: Vec<(String, Tensor)>) -> Result<Vec<u8>, PluginError> {
    let named = Tensors { training: tensors, ..Tensors::default() };
    let buffer = buffer_for(&named, Device::Cpu, None)?;
    let staged = Staged::new(named, buffer).map_err(|(error, _)| error)?;
    kasmina_checkpoint::to_bytes(&staged.data(&staged.training))
        .map_err(|e| PluginError::other(e.to_string()))
}

/// Copies a tensor into the buffer.
fn copied(buffer: &mut HostBuffer, name: String, tensor: &Tensor) -> Result<Copied, PluginError> {
    let Some(dtype) = dtype_of(tensor.kind()) else {
        let text = format!("tensor `{name}` has kind {:?}, which checkpoints do not support", tensor.kind());
        return Err(PluginError::unsupported(text));
    };
    let shape = tensor.size().into_iter().map(|n| usize::try_from(n).unwrap_or_default()).collect();
    let place = buffer.push(tensor).map_err(|e| PluginError::torch(&e.to_string()))?;
    Ok(Copied { name, dtype, shape, place })
}

/// Returns a tensor on the CPU with the shape, kind and bytes of a view.
///
/// # Errors
/// If the type of its elements is not supported, or libtorch fails.
pub fn tensor_of(name: &str, view: TensorView<'_>) -> Result<Tensor, PluginError> {
    let Some((_, kind)) = KINDS.into_iter().find(|(dtype, _)| *dtype == view.dtype) else {
        let text = format!("tensor `{name}` has type {:?}, which is not supported", view.dtype);
        return Err(PluginError::unsupported(text));
    };
    let shape: Vec<i64> = view.shape.iter().map(|n| i64::try_from(*n).unwrap_or(i64::MAX)).collect();
    Ok(Tensor::f_from_data_size(view.bytes, &shape, kind)?)
}

/// Copies tensors from the bytes of a file to tensors on the CPU, by name, with their stored shapes.
pub(super) fn tensors_of(
    tensors: &kasmina_checkpoint::Tensors,
) -> Result<BTreeMap<String, Tensor>, PluginError> {
    tensors.iter().map(|(name, view)| Ok((name.to_owned(), tensor_of(name, view)?))).collect()
}

/// Types of the checkpoint format and the corresponding kinds of torch.
const KINDS: [(Dtype, Kind); 9] = [
    (Dtype::F32, Kind::Float),
    (Dtype::F64, Kind::Double),
    (Dtype::F16, Kind::Half),
    (Dtype::BF16, Kind::BFloat16),
    (Dtype::I64, Kind::Int64),
    (Dtype::I32, Kind::Int),
    (Dtype::I16, Kind::Int16),
    (Dtype::U8, Kind::Uint8),
    (Dtype::BOOL, Kind::Bool),
];

fn dtype_of(kind: Kind) -> Option<Dtype> {
    KINDS.into_iter().find(|(_, known)| *known == kind).map(|(dtype, _)| dtype)
}
