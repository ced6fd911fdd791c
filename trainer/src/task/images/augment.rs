//! Images stored as bytes on the device. Each batch is augmented and normalised there.

use crate::error::TrainError;
use tch::{Device, Kind, Tensor};

/// Random augmentation of training images.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Augment {
    /// Largest shift in each direction, in pixels. Pixels from outside the image are black.
    pub(super) max_shift: i64,
    /// Whether images are mirrored with probability 1/2.
    pub(super) mirrored: bool,
}

/// Images stored as bytes, with a black border of `max_shift` pixels.
#[derive(Debug)]
pub(crate) struct Pixels {
    /// The images with their border, of shape `[N, H, W, C]`, so that batches are channels-last.
    bytes: Tensor,
    mean: Tensor,
    inverse_deviation: Tensor,
    augment: Augment,
    /// Row numbers `0..H` of an image without its border.
    height: Tensor,
    /// Column numbers `0..W` of an image without its border.
    width: Tensor,
}

impl Pixels {
    /// Stores images. `mean` and `deviation` are those of each channel, for values from 0 to 1.
    ///
    /// # Shapes
    /// `bytes`: `[N, C, H, W]`, `uint8`.
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
        if augment.max_shift > 0 {
            let border = augment.max_shift;
            bytes = bytes.f_constant_pad_nd([0, 0, border, border, border, border])?;
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

    /// Returns the stored images with their border: `[N, H, W, C]`, `uint8`.
    pub(crate) fn stored(&self) -> &Tensor {
        &self.bytes
    }

    /// Returns what an [`Order`](crate::task::Order) has to draw for the images: the largest shift, and
    /// whether they are mirrored. `None` without augmentation.
    pub(crate) fn moves(&self) -> Option<(i64, bool)> {
        let Augment { max_shift, mirrored } = self.augment;
        (max_shift > 0 || mirrored).then_some((max_shift, mirrored))
    }

    /// Returns a normalised batch of some images, each augmented by its row of `moves`.
    ///
    /// # Shapes
    /// `rows`: indices of images, `[n]`. `moves`: `[n, 3]`, the offsets of the crop down and right in the
    /// bordered image, and 1 if mirrored. Returns `[n, C, H, W]`, channels-last.
    pub(crate) fn batch(&self, rows: &Tensor, moves: Option<&Tensor>) -> Result<Tensor, TrainError> {
        let Some(moves) = moves else { return self.normalise(&self.bytes.f_index_select(0, rows)?) };
        let column = |i| moves.f_narrow(1, i, 1);
        let ys = self.height.f_unsqueeze(0)?.f_add(&column(0)?)?;
        let last = self.width.size()[0] - 1;
        let mirrored = column(2)?.f_to_kind(Kind::Bool)?;
        let backwards = self.width.f_neg()?.f_add_scalar(last)?;
        let xs = backwards.f_where_self(&mirrored, &self.width)?.f_add(&column(1)?)?;
        let at = [rows.f_view([-1, 1, 1])?, ys.f_unsqueeze(2)?, xs.f_unsqueeze(1)?];
        self.normalise(&self.bytes.f_index(&at.map(Some))?)
    }

    /// Returns normalised images in their stored order, without augmentation: `[len, C, H, W]`,
    /// channels-last.
    pub(crate) fn slice(&self, start: i64, len: i64) -> Result<Tensor, TrainError> {
        let border = self.augment.max_shift;
        let inner = |t: &Tensor, dim, size: &Tensor| t.f_narrow(dim, border, size.size()[0]);
        let rows = self.bytes.f_narrow(0, start, len)?;
        self.normalise(&inner(&inner(&rows, 1, &self.height)?, 2, &self.width)?)
    }

    /// Converts bytes of shape `[n, H, W, C]` to normalised floats of shape `[n, C, H, W]`, channels-last.
    fn normalise(&self, bytes: &Tensor) -> Result<Tensor, TrainError> {
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
    fn a_slice_is_unchanged_and_channels_last() {
        for max_shift in [0, 2] {
            let (bytes, pixels) = pixels(Augment { max_shift, mirrored: false });
            let all = pixels.slice(0, 2).unwrap();
            assert!(all.allclose(&bytes, 1e-5, 1e-3, false));
            assert_eq!(all.stride(), [60, 1, 15, 3]);
        }
    }

    #[test]
    fn images_are_shifted_over_a_black_border_and_mirrored() {
        let (bytes, pixels) = pixels(Augment { max_shift: 1, mirrored: true });
        let rows = Tensor::from_slice(&[1_i64, 0]);
        // The first is shifted up and left as far as possible, the second is only mirrored.
        let moves = Tensor::from_slice(&[2_i64, 2, 0, 1, 1, 1]).view([2, 3]);
        let batch = pixels.batch(&rows, Some(&moves)).unwrap();
        let moved = bytes.get(1).constant_pad_nd([0, 1, 0, 1]).narrow(1, 1, 4).narrow(2, 1, 5);
        assert!(batch.get(0).allclose(&moved, 1e-5, 1e-3, false));
        assert!(batch.get(1).allclose(&bytes.get(0).flip([2]), 1e-5, 1e-3, false));
        assert_eq!(batch.stride(), [60, 1, 15, 3]);
    }
}
