//! Comparison of the results of two computations of the same values, up to rounding.

use tch::{Kind, TchError, Tensor};

/// Largest allowed difference between two values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tolerance {
    /// Relative part: a factor on the magnitude of the expected value.
    pub relative: f64,
    /// Absolute part. It is multiplied by the largest expected magnitude if that is greater than 1, because a
    /// small sum of large numbers carries the rounding errors of the large numbers.
    pub absolute: f64,
    /// Whether NaN counts as equal to NaN.
    pub equal_nan: bool,
}

/// Whether all values of `actual` are within the tolerance of those of `expected`. Waits for the device.
///
/// # Shapes
/// `expected` and `actual`: the same shape (any) and dtype.
///
/// # Errors
/// If libtorch refuses.
pub fn all_close(expected: &Tensor, actual: &Tensor, tolerance: Tolerance) -> Result<bool, TchError> {
    let Tolerance { relative, absolute, equal_nan } = tolerance;
    let largest = if expected.numel() == 0 {
        0.0
    } else {
        expected.f_abs()?.f_max()?.f_to_kind(Kind::Double)?.f_double_value(&[])?
    };
    let scale = if largest.is_finite() { largest.max(1.0) } else { 1.0 };
    expected.f_allclose(actual, relative, absolute * scale, equal_nan)
}

#[cfg(test)]
mod tests {
    use super::{Tolerance, all_close};
    use tch::Tensor;

    #[test]
    fn the_absolute_part_grows_with_the_largest_value_and_nan_is_a_choice() {
        let close = |a: &[f32], b: &[f32], equal_nan| {
            let tolerance = Tolerance { relative: 0.0, absolute: 1e-3, equal_nan };
            all_close(&Tensor::from_slice(a), &Tensor::from_slice(b), tolerance).unwrap()
        };
        assert!(close(&[0.5], &[0.5009], false) && !close(&[0.5], &[0.502], false));
        assert!(close(&[100.0, 0.5], &[100.0, 0.55], false), "beside a hundred, 0.05 is rounding");
        assert!(!close(&[f32::NAN], &[f32::NAN], false) && close(&[f32::NAN], &[f32::NAN], true));
        assert!(close(&[], &[], false));
    }
}
