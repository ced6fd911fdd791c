//! Images as bytes on the device; numbers are made of them in the batch, moved and mirrored there.

use crate::error::TrainError;
use tch::{Device, Kind, Tensor};

/// What is done to an image before it is learned from.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Augment {
    /// Pixels that it may be moved by each way; what is moved in is black.
    pub(super) far: i64,
    /// Whether every second one is mirrored.
    pub(super) mirrored: bool,
}

/// Images `[N, H, W, C]` of bytes, so that a batch lies channels-last; with a black border where they may be
/// moved.
#[derive(Debug)]
pub(crate) struct Pixels {
    bytes: Tensor,
    mean: Tensor,
    inverse_deviation: Tensor,
    augment: Augment,
    height: Tensor,
    width: Tensor,
}

impl Pixels {
    /// Of bytes `[N, C, H, W]`; mean and deviation are per channel, of values in 0..1.
    pub(super) fn new(
        bytes: &Tensor,
        mean: &[f64],
        deviation: &[f64],
        augment: Augment,
        device: Device,
    ) -> Result<Self, TrainError> {
        let size = bytes.size();
        let (height, width) = (size[2], size[3]);
        let mut bytes = bytes.f_permute([0, 2, 3, 1])?.f_contiguous()?.f_to(device)?;
        if augment.far > 0 {
            let far = augment.far;
            bytes = bytes.f_constant_pad_nd([0, 0, far, far, far, far])?;
        }
        let of_bytes = |values: Vec<f64>| Tensor::f_from_slice(&values)?.f_to_kind(Kind::Float)?.f_to(device);
        let count = |n| Tensor::f_arange(n, (Kind::Int64, device));
        Ok(Self {
            bytes,
            mean: of_bytes(mean.iter().map(|m| m * 255.0).collect())?,
            inverse_deviation: of_bytes(deviation.iter().map(|d| 1.0 / (d * 255.0)).collect())?,
            augment,
            height: count(height)?,
            width: count(width)?,
        })
    }

    /// The images as they lie.
    pub(crate) fn stored(&self) -> &Tensor {
        &self.bytes
    }

    /// What has to be drawn for an image: how far it may be moved, and whether it is mirrored.
    pub(crate) fn moves(&self) -> Option<(i64, bool)> {
        let Augment { far, mirrored } = self.augment;
        (far > 0 || mirrored).then_some((far, mirrored))
    }

    /// A batch of some images, each moved as `moves` `[n, 3]` says: down, right, mirrored.
    pub(crate) fn batch(&self, rows: &Tensor, moves: Option<&Tensor>) -> Result<Tensor, TrainError> {
        let Some(moves) = moves else { return self.numbers(&self.bytes.f_index_select(0, rows)?) };
        let of = |i| moves.f_narrow(1, i, 1);
        let ys = self.height.f_unsqueeze(0)?.f_add(&of(0)?)?;
        let last = self.width.size()[0] - 1;
        let mirrored = of(2)?.f_to_kind(Kind::Bool)?;
        let xs =
            self.width.f_neg()?.f_add_scalar(last)?.f_where_self(&mirrored, &self.width)?.f_add(&of(1)?)?;
        let at = [rows.f_view([-1, 1, 1])?, ys.f_unsqueeze(2)?, xs.f_unsqueeze(1)?];
        self.numbers(&self.bytes.f_index(&at.map(Some))?)
    }

    /// Images as they lie, unmoved.
    pub(crate) fn slice(&self, start: i64, len: i64) -> Result<Tensor, TrainError> {
        let far = self.augment.far;
        let inner = |t: &Tensor, dim, many: &Tensor| t.f_narrow(dim, far, many.size()[0]);
        let rows = self.bytes.f_narrow(0, start, len)?;
        self.numbers(&inner(&inner(&rows, 1, &self.height)?, 2, &self.width)?)
    }

    /// `[n, H, W, C]` of bytes to `[n, C, H, W]` of numbers, channels-last.
    fn numbers(&self, bytes: &Tensor) -> Result<Tensor, TrainError> {
        let x = bytes.f_to_kind(Kind::Float)?.f_sub(&self.mean)?.f_mul(&self.inverse_deviation)?;
        Ok(x.f_contiguous()?.f_permute([0, 3, 1, 2])?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pixels(augment: Augment) -> (Tensor, Pixels) {
        let bytes = Tensor::arange(2 * 3 * 4 * 5, (Kind::Uint8, Device::Cpu)).view([2, 3, 4, 5]);
        let pixels = Pixels::new(&bytes, &[0.0; 3], &[1.0 / 255.0; 3], augment, Device::Cpu).unwrap();
        (bytes.to_kind(Kind::Float), pixels)
    }

    #[test]
    fn unmoved_they_are_what_they_were_and_lie_channels_last() {
        for far in [0, 2] {
            let (bytes, pixels) = pixels(Augment { far, mirrored: false });
            let all = pixels.slice(0, 2).unwrap();
            assert!(all.allclose(&bytes, 1e-5, 1e-3, false));
            assert_eq!(all.stride(), [60, 1, 15, 3]);
        }
    }

    #[test]
    fn they_move_in_from_a_black_border_and_are_mirrored() {
        let (bytes, pixels) = pixels(Augment { far: 1, mirrored: true });
        let rows = Tensor::from_slice(&[1_i64, 0]);
        // The first moves up and left as far as it may, the second stays and is mirrored.
        let moves = Tensor::from_slice(&[2_i64, 2, 0, 1, 1, 1]).view([2, 3]);
        let batch = pixels.batch(&rows, Some(&moves)).unwrap();
        let moved = bytes.get(1).constant_pad_nd([0, 1, 0, 1]).narrow(1, 1, 4).narrow(2, 1, 5);
        assert!(batch.get(0).allclose(&moved, 1e-5, 1e-3, false));
        assert!(batch.get(1).allclose(&bytes.get(0).flip([2]), 1e-5, 1e-3, false));
        assert_eq!(batch.stride(), [60, 1, 15, 3]);
    }
}
