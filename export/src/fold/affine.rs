//! Whether a seed computes `M x + b` at each position, and with which matrix and shift.

use crate::ExportError;
use crate::difference::largest;
use crate::network::OccupiedSlot;
use kasmina_plugin_api::{PluginError, Topology};
use tch::{Device, Kind, Tensor};

/// Largest difference from a linear function that counts as rounding, relative to the largest output.
const TOLERANCE: f64 = 1e-5;
/// Sizes of the noise that is added to features to find a function that is not linear.
const SCALES: [f64; 5] = [0.0, 1.0, 10.0, 1e2, 1e4];
/// Largest element by which a function without effect differs from the identity.
const IDENTITY: f64 = 1e-7;
/// Largest number of positions in each direction that the matrix is measured with.
const POSITIONS: i64 = 4;

/// A function `M x + b` of the channels of each position.
#[derive(Debug)]
pub(super) struct Affine {
    /// `M`: `[C, C]`, float64.
    pub(super) matrix: Tensor,
    /// `b`: `[C]`, float64.
    pub(super) shift: Tensor,
    /// Dimension of the channels in the features.
    pub(super) channels: i64,
}

impl Affine {
    /// Measures the output of a slot. Returns `None` if it is not such a function.
    ///
    /// # Shapes
    /// `features`: `[N, C, ...]`, or `[N, ..., C]` for sequences, as the slot reads them.
    ///
    /// # Errors
    /// If the slot fails on its own features.
    pub(super) fn of(
        slot: &mut OccupiedSlot,
        features: &Tensor,
        topology: &str,
    ) -> Result<Option<Self>, ExportError> {
        let last = i64::try_from(features.dim()).unwrap_or(i64::MAX) - 1;
        let channels = if topology == Topology::CNN.as_str() { 1 } else { last };
        let _no_grad = tch::no_grad_guard();
        // A slot that refuses a smaller map is not a function of each position.
        let Ok(measured) = measure(slot, features, channels) else { return Ok(None) };
        let Some(affine) = measured else { return Ok(None) };
        // Large features reach what a bias hides from small ones, such as the other side of a ReLU.
        for scale in SCALES {
            let x = features.f_randn_like()?.f_mul_scalar(scale)?.f_add(features)?;
            let found = slot.forward(&x)?.f_to_kind(Kind::Double)?;
            if !is_close(&affine.apply(&x)?, &found, &found)? {
                return Ok(None);
            }
        }
        Ok(Some(affine))
    }

    /// Whether the shift is 0.
    pub(super) fn is_linear(&self) -> Result<bool, tch::TchError> {
        Ok(self.shift.f_count_nonzero(None)?.f_int64_value(&[])? == 0)
    }

    /// Whether the function changes nothing, up to rounding.
    pub(super) fn is_identity(&self) -> Result<bool, tch::TchError> {
        let eye = Tensor::f_eye(self.matrix.size()[0], (Kind::Double, Device::Cpu))?;
        Ok(largest(&self.matrix.f_sub(&eye)?)?.max(largest(&self.shift)?) <= IDENTITY)
    }

    fn apply(&self, x: &Tensor) -> Result<Tensor, tch::TchError> {
        let last = x.f_movedim_int(self.channels, -1)?.f_to_kind(Kind::Double)?;
        last.f_linear(&self.matrix, Some(&self.shift))?.f_movedim_int(-1, self.channels)
    }
}

/// Measures matrix and shift with zeros and with unit vectors at one position. Returns `None` if the output
/// at another position is not the shift.
fn measure(slot: &mut OccupiedSlot, features: &Tensor, channels: i64) -> Result<Option<Affine>, PluginError> {
    let mut shape = features.size();
    let count = shape[usize::try_from(channels).unwrap_or_default()];
    for (dimension, size) in (0_i64..).zip(shape.iter_mut()) {
        if dimension != channels {
            *size = if dimension == 0 { count + 1 } else { (*size).min(POSITIONS) };
        }
    }
    // The last sample is 0; sample `i` before it has a 1 in channel `i` at the middle position.
    let positions = shape.iter().product::<i64>() / (count * (count + 1));
    let middle = positions / 2;
    let flat = Tensor::f_zeros([count + 1, positions, count], (Kind::Float, Device::Cpu))?;
    let units = Tensor::f_eye(count, (Kind::Float, Device::Cpu))?;
    flat.f_narrow(0, 0, count)?.f_select(1, middle)?.f_copy_(&units)?;
    let mut split: Vec<i64> = shape.clone();
    split.remove(usize::try_from(channels).unwrap_or_default());
    split.push(count);
    let x = flat.f_view(split.as_slice())?.f_movedim_int(-1, channels)?.f_contiguous()?;
    let out = slot.forward(&x)?.f_to_kind(Kind::Double)?;
    let out = out.f_movedim_int(channels, -1)?.f_reshape([count + 1, positions, count])?;
    let shift = out.f_select(0, count)?.f_select(0, middle)?;
    let matrix = out.f_narrow(0, 0, count)?.f_select(1, middle)?.f_sub(&shift)?.f_transpose(0, 1)?;
    // Everywhere else the output is the shift.
    let rest = out.f_detach_copy()?;
    rest.f_narrow(0, 0, count)?.f_select(1, middle)?.f_copy_(&shift.f_expand([count, count], false)?)?;
    let wanted = shift.f_expand([count + 1, positions, count], false)?;
    Ok(is_close(&wanted, &rest, &out)?.then_some(Affine { matrix, shift, channels }))
}

/// Whether two tensors differ by rounding, relative to the largest element of a third one.
fn is_close(wanted: &Tensor, found: &Tensor, scale: &Tensor) -> Result<bool, tch::TchError> {
    // A comparison with NaN is false.
    Ok(largest(&wanted.f_sub(found)?)? <= TOLERANCE * largest(scale)?)
}
