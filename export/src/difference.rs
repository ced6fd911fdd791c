//! How far two outputs differ.

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
    let largest = |t: &Tensor| t.f_abs()?.f_max()?.f_double_value(&[]);
    Ok(largest(&found.f_sub(&wanted)?)? / largest(&wanted)?.max(f64::MIN_POSITIVE))
}
