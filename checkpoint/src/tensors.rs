//! Named tensors as bytes.

use crate::CheckpointError;
use crate::error::damaged;
use safetensors::{Dtype, SafeTensors, View};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

/// A tensor to be written.
#[derive(Debug, Clone)]
pub struct TensorData<'a> {
    /// Name of the tensor.
    pub name: &'a str,
    /// Type of the elements.
    pub dtype: Dtype,
    /// Shape of the tensor.
    pub shape: &'a [usize],
    /// Elements, contiguous, in little-endian order.
    pub bytes: &'a [u8],
}

impl View for &TensorData<'_> {
    fn dtype(&self) -> Dtype {
        self.dtype
    }
    fn shape(&self) -> &[usize] {
        self.shape
    }
    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(self.bytes)
    }
    fn data_len(&self) -> usize {
        self.bytes.len()
    }
}

/// A tensor that was read.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TensorView<'a> {
    /// Type of the elements.
    pub dtype: Dtype,
    /// Shape of the tensor.
    pub shape: &'a [usize],
    /// Elements, contiguous, in little-endian order.
    pub bytes: &'a [u8],
}

/// The tensors of one file.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensors {
    bytes: Vec<u8>,
    rows: BTreeMap<String, Row>,
}

#[derive(Debug, Clone, PartialEq)]
struct Row {
    dtype: Dtype,
    shape: Vec<usize>,
    place: Range<usize>,
}

/// Returns the bytes of a safetensors file with these tensors.
///
/// # Errors
/// If the bytes of a tensor do not match its shape.
pub fn to_bytes(tensors: &[TensorData<'_>]) -> Result<Vec<u8>, CheckpointError> {
    let views = tensors.iter().map(|tensor| (tensor.name, tensor));
    safetensors::serialize(views, None)
        .map_err(|e| damaged(Path::new("a message"), format!("it cannot be written: {e}")))
}

impl Tensors {
    /// Parses the bytes of a safetensors file; `path` is used in error messages. The header is checked
    /// against the bytes before anything is used.
    ///
    /// # Errors
    /// If the bytes are not a valid safetensors file.
    pub fn parse(path: &Path, bytes: Vec<u8>) -> Result<Self, CheckpointError> {
        let wrong =
            |e: safetensors::SafeTensorError| damaged(path, format!("it is not a safetensors file: {e}"));
        let file = SafeTensors::deserialize(&bytes).map_err(wrong)?;
        let start = bytes.as_ptr().addr();
        let row = |(name, view): (String, safetensors::tensor::TensorView<'_>)| {
            let begin = view.data().as_ptr().addr() - start;
            let place = begin..begin + view.data().len();
            (name, Row { dtype: view.dtype(), shape: view.shape().to_vec(), place })
        };
        let rows = file.tensors().into_iter().map(row).collect();
        Ok(Self { bytes, rows })
    }

    /// Number of tensors.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are no tensors.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Iterates over the tensors, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, TensorView<'_>)> {
        self.rows.iter().map(|(name, row)| (name.as_str(), self.view(row)))
    }

    /// Returns all tensors in the form in which they are written.
    pub(crate) fn data(&self) -> Vec<TensorData<'_>> {
        let data = |(name, view)| {
            let TensorView { dtype, shape, bytes } = view;
            TensorData { name, dtype, shape, bytes }
        };
        self.iter().map(data).collect()
    }

    fn view<'a>(&'a self, row: &'a Row) -> TensorView<'a> {
        let bytes = self.bytes.get(row.place.clone()).unwrap_or_default();
        TensorView { dtype: row.dtype, shape: &row.shape, bytes }
    }
}
