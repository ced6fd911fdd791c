//! Assertions about tensors, with messages that describe the difference.

use crate::failure::{Failure, broken};
use kasmina_torch_ext::closeness::{Tolerance, all_close};
use tch::{Kind, Tensor};

/// Tolerance for two computations of the same values; the same as in the probe of a run.
const ROUNDING: Tolerance = Tolerance { relative: 1e-3, absolute: 1e-4, equal_nan: true };

/// Returns the value of a tensor with one element.
pub(crate) fn value_of(scalar: &Tensor) -> Result<f64, Failure> {
    Ok(scalar.f_to_kind(Kind::Double)?.f_double_value(&[])?)
}

/// Whether all values are finite. True for empty tensors and integers.
pub(crate) fn is_finite(tensor: &Tensor) -> Result<bool, Failure> {
    if tensor.numel() == 0 || !tensor.is_floating_point() {
        return Ok(true);
    }
    Ok(value_of(&tensor.detach().f_isfinite()?.f_all()?)? != 0.0)
}

/// Fails if a value is NaN or infinite.
pub(crate) fn check_finite(tensor: &Tensor, what: &str) -> Result<(), Failure> {
    if is_finite(tensor)? { Ok(()) } else { broken(format!("{what} has values that are not finite")) }
}

/// Fails if an output differs from its input in shape, dtype or device.
pub(crate) fn check_like(features: &Tensor, output: &Tensor, what: &str) -> Result<(), Failure> {
    let (want, came) = (features.size(), output.size());
    if want != came {
        return broken(format!("{what} has shape {came:?}, expected {want:?} like its input"));
    }
    let of = |t: &Tensor| format!("{:?} on {:?}", t.kind(), t.device());
    if of(features) != of(output) {
        return broken(format!("{what} is {}, expected {} like its input", of(output), of(features)));
    }
    Ok(())
}

/// Returns the largest absolute difference between two tensors of the same shape.
fn max_difference(a: &Tensor, b: &Tensor) -> Result<f64, Failure> {
    let (a, b) = (a.detach().f_to_kind(Kind::Double)?, b.detach().f_to_kind(Kind::Double)?);
    if a.numel() == 0 {
        return Ok(0.0);
    }
    value_of(&a.f_sub(&b)?.f_abs()?.f_max()?)
}

/// Fails if two tensors differ in shape, or in value by more than [`ROUNDING`].
pub(crate) fn check_close(expected: &Tensor, came: &Tensor, what: &str) -> Result<(), Failure> {
    if expected.size() != came.size() {
        return broken(format!("{what}: expected shape {:?}, got {:?}", expected.size(), came.size()));
    }
    let came = came.detach().f_to_kind(expected.kind())?;
    if all_close(&expected.detach(), &came, ROUNDING)? {
        return Ok(());
    }
    broken(format!("{what}: they differ by up to {:.3e}", max_difference(expected, &came)?))
}

/// Fails if two tensors differ in shape, dtype or value. NaN equals NaN, and -0 equals 0.
pub(crate) fn check_same_bits(expected: &Tensor, came: &Tensor, what: &str) -> Result<(), Failure> {
    if expected.size() != came.size() || expected.kind() != came.kind() {
        return broken(format!(
            "{what}: expected {:?} {:?}, got {:?} {:?}",
            expected.kind(),
            expected.size(),
            came.kind(),
            came.size()
        ));
    }
    let (a, b) = (expected.detach(), came.detach());
    // Tolerance 0, with NaN equal to NaN.
    if a.f_equal(&b)? || a.f_allclose(&b, 0.0, 0.0, true)? {
        return Ok(());
    }
    broken(format!("{what}: they differ by up to {:.3e}", max_difference(&a, &b)?))
}

/// Returns the scalar product of an output and a random direction, as a loss that depends on every element. A
/// plain sum would not do: after a normalization it is constant.
pub(crate) fn random_projection(output: &Tensor) -> Result<Tensor, Failure> {
    let direction = output.detach().f_randn_like()?;
    Ok((output * direction).f_sum(Kind::Float)?)
}
