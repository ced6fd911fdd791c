//! How far tensors differ.

use tch::{Kind, TchError, Tensor};

/// Returns the largest difference relative to the largest element of `wanted`. It is not a number if one of
/// the outputs has such an element.
///
/// # Shapes
/// Both have the same shape.
///
/// # Errors
/// If the shapes differ.
pub(crate) fn relative(wanted: &Tensor, found: &Tensor) -> Result<f64, TchError> {
    let (wanted, found) = (wanted.f_to_kind(Kind::Double)?, found.f_to_kind(Kind::Double)?);
    Ok(largest(&found.f_sub(&wanted)?)? / largest(&wanted)?.max(f64::MIN_POSITIVE))
}

/// Returns the largest element without its sign. It is not a number if an element is not.
///
/// # Shapes
/// `tensor`: any, with an element.
///
/// # Errors
/// If libtorch fails.
pub(crate) fn largest(tensor: &Tensor) -> Result<f64, TchError> {
    tensor.f_abs()?.f_max()?.f_double_value(&[])
}
