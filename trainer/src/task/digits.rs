//! The task `digits`: handwritten digits of 8x8 pixels, embedded in the program. `data/README.md` names their
//! origin and licence.

use super::interface::{ImageInput, Interface};
use super::{Part, Task};
use crate::config::{DataConfig, at_most};
use crate::error::TrainError;
use flate2::read::GzDecoder;
use kasmina_torch_ext::rng::{RngFork, derive_seed};
use std::io::Read as _;
use tch::{Device, Kind, Tensor};

pub(super) const ID: &str = "digits";
const DATA: &[u8] = include_bytes!("../../data/digits.csv.gz");
const SIDE: i64 = 8;
/// Names of the classes.
pub(super) const DIGITS: [&str; 10] = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];
const PIXELS: usize = 64;
const TRAIN: i64 = 1077;
/// Seed of the split. It does not depend on the run's seed, so that all runs have the same validation data.
const SPLIT_SEED: u64 = 0;

/// Largest value of a pixel.
const BRIGHTEST: f64 = 16.0;
/// Mean and standard deviation of all pixels.
const MEAN: f32 = 4.884;
const DEVIATION: f32 = 6.017;

/// Standardises a pixel: from `0..=16` to about zero mean and unit deviation over the data set.
fn scale(pixel: u8) -> f32 {
    (f32::from(pixel) - MEAN) / DEVIATION
}

pub(super) fn load(data: &DataConfig, device: Device) -> Result<Task, TrainError> {
    let (pixels, labels) = parse(DATA).map_err(|reason| TrainError::Task { task: ID, reason })?;
    let count = labels.len() as i64;
    let order = {
        let _fork = RngFork::seeded(derive_seed(SPLIT_SEED, &[ID, "split"]))?;
        Tensor::f_randperm(count, (Kind::Int64, Device::Cpu))?
    };
    let inputs = Tensor::f_from_slice(&pixels)?.f_view([count, 1, SIDE, SIDE])?.f_index_select(0, &order)?;
    let labels = Tensor::f_from_slice(&labels)?.f_index_select(0, &order)?;
    let cut = |t: &Tensor, start: i64, len: i64| t.f_narrow(0, start, len)?.f_contiguous()?.f_to(device);
    let part = |start: i64, len: i64| Part::samples(cut(&inputs, start, len)?, cut(&labels, start, len)?);
    let facts = serde_json::json!({ "in_channels": 1, "num_classes": 10, "sample": [1, SIDE, SIDE] });
    let input = ImageInput {
        channels: 1,
        height: SIDE,
        width: SIDE,
        mean: vec![f64::from(MEAN) / BRIGHTEST],
        deviation: vec![f64::from(DEVIATION) / BRIGHTEST],
    };
    Ok(Task {
        id: ID,
        train: part(0, at_most(data.train_samples, TRAIN))?,
        validation: part(TRAIN, at_most(data.validation_samples, count - TRAIN))?,
        facts: facts.as_object().cloned().unwrap_or_default(),
        interface: Interface::image(input, &DIGITS),
        validation_batch: 512,
    })
}

/// Reads the images and labels of a compressed CSV file with one image per row: 64 pixels, then the label.
fn parse(gz: &[u8]) -> Result<(Vec<f32>, Vec<i64>), String> {
    let mut text = String::new();
    GzDecoder::new(gz).read_to_string(&mut text).map_err(|e| e.to_string())?;
    let (mut pixels, mut labels) = (Vec::new(), Vec::new());
    for (row, line) in text.lines().enumerate() {
        let wrong = |what: &str| format!("row {}: {what}", row + 1);
        let values = line
            .split(',')
            .map(|v| v.trim().parse::<u8>().map_err(|_| wrong(&format!("`{v}` is not a number of 0 to 255"))))
            .collect::<Result<Vec<u8>, String>>()?;
        let [image @ .., label] = values.as_slice() else { return Err(wrong("it is empty")) };
        if image.len() != PIXELS || *label > 9 || image.iter().any(|p| *p > 16) {
            return Err(wrong("it is not 64 pixels of 0 to 16 and a digit"));
        }
        pixels.extend(image.iter().copied().map(scale));
        labels.push(i64::from(*label));
    }
    Ok((pixels, labels))
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use std::io::Write as _;

    #[test]
    fn the_embedded_data_is_complete_and_always_split_the_same_way() {
        let load = || load(&DataConfig::default(), Device::Cpu).unwrap();
        let (a, b) = (load(), load());
        let ((x, y), (again, _)) = (a.train.slice(0, 1077).unwrap(), b.train.slice(0, 1077).unwrap());
        assert_eq!((x.size(), a.train.len()), (vec![1077, 1, 8, 8], 1077));
        assert_eq!((a.validation.len(), a.validation.targets()), (720, 720));
        let labels = |task: &Task| task.validation.slice(0, 720).unwrap().1;
        assert!(x.equal(&again) && labels(&a).equal(&labels(&b)));
        let counts = y.bincount::<Tensor>(None, 10);
        assert!(Vec::<i64>::try_from(counts).unwrap().into_iter().all(|n| n > 80));
    }

    #[test]
    fn damaged_data_is_refused_with_its_row() {
        let mut gz = GzEncoder::new(Vec::new(), Compression::fast());
        gz.write_all(b"1,2,x\n").unwrap();
        assert_eq!(parse(&gz.finish().unwrap()).unwrap_err(), "row 1: `x` is not a number of 0 to 255");
    }
}
