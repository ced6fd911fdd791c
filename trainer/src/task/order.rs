//! The order of an epoch: it follows from the run's seed and the epoch's number, so that a run that is
//! resumed goes on in it.

use crate::error::TrainError;
use kasmina_torch_ext::rng::{RngFork, derive_seed};
use tch::{Device, Kind, Tensor};

/// In which order the samples of a part are learned from in one epoch, and everything else that is drawn for
/// it.
#[derive(Debug)]
pub struct Order {
    /// `[N]`: the numbers of the samples.
    pub(super) rows: Tensor,
    /// `[N, 3]`, where images are moved: down, right, and whether mirrored.
    pub(super) moves: Option<Tensor>,
    /// Where the first window of a sequence begins.
    pub(super) shift: i64,
}

/// What an epoch's order is drawn for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Draws {
    pub(super) samples: i64,
    /// How far images may be moved each way, and whether they are mirrored.
    pub(super) moves: Option<(i64, bool)>,
    /// Number of positions at which windows may begin.
    pub(super) shifts: i64,
}

impl Order {
    pub(super) fn new(draws: Draws, seed: u64, epoch: u32, device: Device) -> Result<Self, TrainError> {
        let epoch = epoch.to_string();
        let part = |what: &str| RngFork::seeded(derive_seed(seed, &[what, &epoch]));
        let rows = {
            let _fork = part("order")?;
            Tensor::f_randperm(draws.samples, (Kind::Int64, Device::Cpu))?.f_to(device)?
        };
        let moves = match draws.moves {
            None => None,
            Some((far, mirrored)) => {
                let _fork = part("augment")?;
                let to = [draws.samples, 2];
                let offsets = Tensor::f_randint(2 * far + 1, to, (Kind::Int64, Device::Cpu))?;
                let sides = 1 + i64::from(mirrored);
                let mirror = Tensor::f_randint(sides, [draws.samples, 1], (Kind::Int64, Device::Cpu))?;
                Some(Tensor::f_cat(&[offsets, mirror], 1)?.f_to(device)?)
            }
        };
        let shift = if draws.shifts > 1 {
            let _fork = part("shift")?;
            Tensor::f_randint(draws.shifts, [1], (Kind::Int64, Device::Cpu))?.f_int64_value(&[0])?
        } else {
            0
        };
        Ok(Self { rows, moves, shift })
    }
}
