//! The order of the samples in an epoch. It is derived from the run's seed and the epoch's number, so that a
//! resumed run continues in the same order.

use crate::error::TrainError;
use kasmina_torch_ext::rng::{RngFork, derive_seed};
use tch::{Device, Kind, Tensor};

/// Order of the samples of one epoch, and the other random draws of the epoch.
#[derive(Debug)]
pub struct Order {
    /// Indices of the samples in their order, of shape `[N]`.
    pub(super) rows: Tensor,
    /// Augmentation of each image, of shape `[N, 3]`: the offsets of the crop down and right in the image
    /// with its border, and 1 if mirrored. `None` without augmentation.
    pub(super) moves: Option<Tensor>,
    /// Offset of the first window in a sequence of tokens.
    pub(super) shift: i64,
}

/// What is drawn for the order of an epoch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Draws {
    pub(super) samples: i64,
    /// Largest shift of images in pixels, and whether they are mirrored. `None` without augmentation.
    pub(super) moves: Option<(i64, bool)>,
    /// Number of possible offsets of the first window.
    pub(super) shifts: i64,
}

impl Order {
    pub(super) fn new(draws: Draws, seed: u64, epoch: u32, device: Device) -> Result<Self, TrainError> {
        let epoch = epoch.to_string();
        let fork = |what: &str| RngFork::seeded(derive_seed(seed, &[what, &epoch]));
        let rows = {
            let _fork = fork("order")?;
            Tensor::f_randperm(draws.samples, (Kind::Int64, Device::Cpu))?.f_to(device)?
        };
        let moves = match draws.moves {
            None => None,
            Some((max_shift, mirrored)) => {
                let _fork = fork("augment")?;
                let shape = [draws.samples, 2];
                let offsets = Tensor::f_randint(2 * max_shift + 1, shape, (Kind::Int64, Device::Cpu))?;
                let sides = 1 + i64::from(mirrored);
                let mirror = Tensor::f_randint(sides, [draws.samples, 1], (Kind::Int64, Device::Cpu))?;
                Some(Tensor::f_cat(&[offsets, mirror], 1)?.f_to(device)?)
            }
        };
        let shift = if draws.shifts > 1 {
            let _fork = fork("shift")?;
            Tensor::f_randint(draws.shifts, [1], (Kind::Int64, Device::Cpu))?.f_int64_value(&[0])?
        } else {
            0
        };
        Ok(Self { rows, moves, shift })
    }
}
