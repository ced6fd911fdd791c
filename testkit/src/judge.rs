//! Comparing tensors, with words for what differs.

use crate::failure::{Failure, broken};
use kasmina_torch_ext::closeness::{Tolerance, all_close};
use tch::{Kind, Tensor};

/// How far two computations of the same thing may differ: as the probe of a run has it.
const ROUNDING: Tolerance = Tolerance { relative: 1e-3, absolute: 1e-4, equal_nan: true };

/// Reads the value of a tensor with one element.
pub(crate) fn read(scalar: &Tensor) -> Result<f64, Failure> {
    Ok(scalar.f_to_kind(Kind::Double)?.f_double_value(&[])?)
}

pub(crate) fn is_finite(tensor: &Tensor) -> Result<bool, Failure> {
    if tensor.numel() == 0 || !tensor.is_floating_point() {
        return Ok(true);
    }
    Ok(read(&tensor.detach().f_isfinite()?.f_all()?)? != 0.0)
}

pub(crate) fn finite(tensor: &Tensor, what: &str) -> Result<(), Failure> {
    if is_finite(tensor)? { Ok(()) } else { broken(format!("{what} has values that are not finite")) }
}

/// Refuses an output that is not shaped like the features it stands for.
pub(crate) fn like(features: &Tensor, output: &Tensor, what: &str) -> Result<(), Failure> {
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

/// The greatest difference between two tensors of one shape.
fn apart(a: &Tensor, b: &Tensor) -> Result<f64, Failure> {
    let (a, b) = (a.detach().f_to_kind(Kind::Double)?, b.detach().f_to_kind(Kind::Double)?);
    if a.numel() == 0 {
        return Ok(0.0);
    }
    read(&a.f_sub(&b)?.f_abs()?.f_max()?)
}

/// Compares two tensors within the tolerance of their type.
pub(crate) fn close(expected: &Tensor, came: &Tensor, what: &str) -> Result<(), Failure> {
    if expected.size() != came.size() {
        return broken(format!("{what}: expected shape {:?}, came {:?}", expected.size(), came.size()));
    }
    let came = came.detach().f_to_kind(expected.kind())?;
    if all_close(&expected.detach(), &came, ROUNDING)? {
        return Ok(());
    }
    broken(format!("{what}: they differ by up to {:.3e}", apart(expected, &came)?))
}

/// Equal to the last bit; NaN equals NaN.
pub(crate) fn same_bits(expected: &Tensor, came: &Tensor, what: &str) -> Result<(), Failure> {
    if expected.size() != came.size() || expected.kind() != came.kind() {
        return broken(format!(
            "{what}: expected {:?} {:?}, came {:?} {:?}",
            expected.kind(),
            expected.size(),
            came.kind(),
            came.size()
        ));
    }
    let (a, b) = (expected.detach(), came.detach());
    // Distance 0 and not unequal as numbers: -0 and 0 count as one.
    if a.f_equal(&b)? || a.f_allclose(&b, 0.0, 0.0, true)? {
        return Ok(());
    }
    broken(format!("{what}: they differ by up to {:.3e}", apart(&a, &b)?))
}

/// A number that a whole output leans on in every element: its plain sum is constant behind a normalisation.
pub(crate) fn leaning(output: &Tensor) -> Result<Tensor, Failure> {
    let direction = output.detach().f_randn_like()?;
    Ok((output * direction).f_sum(Kind::Float)?)
}
