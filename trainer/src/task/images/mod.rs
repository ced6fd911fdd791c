//! Tasks of the standard image sets, read from their published files.

mod augment;
mod cifar;
mod files;
mod idx;
mod names;
mod picture;
mod set;

pub(super) use augment::Pixels;
pub use picture::read_picture;

use super::interface::{ImageInput, Interface};
use super::{Part, Task};
use crate::config::{DataConfig, at_most};
use crate::error::TrainError;
use augment::Augment;
use files::Raw;
use serde_json::json;
use set::Set;
pub(super) use set::{CIFAR10, CIFAR100, FASHION_MNIST, MNIST};
use tch::{Device, Tensor};

type Read = fn(&Set, &std::path::Path) -> Result<(Raw, Raw), TrainError>;

pub(super) fn cifar10(data: &DataConfig, device: Device) -> Result<Task, TrainError> {
    load(&cifar::TEN, cifar::read, data, device)
}

pub(super) fn cifar100(data: &DataConfig, device: Device) -> Result<Task, TrainError> {
    load(&cifar::HUNDRED, cifar::read, data, device)
}

pub(super) fn mnist(data: &DataConfig, device: Device) -> Result<Task, TrainError> {
    load(&idx::MNIST, idx::read, data, device)
}

pub(super) fn fashion_mnist(data: &DataConfig, device: Device) -> Result<Task, TrainError> {
    load(&idx::FASHION, idx::read, data, device)
}

fn load(set: &Set, read: Read, data: &DataConfig, device: Device) -> Result<Task, TrainError> {
    let folder = set.published.folder(set.id, data.dir.as_deref())?;
    let (train, validation) = read(set, &folder)?;
    let augment = Augment { max_shift: data.crop.into(), mirrored: data.flip };
    let size = train.size;
    let part = |raw: Raw, limit: Option<u32>, augment| -> Result<Part, TrainError> {
        let keep = at_most(limit, raw.labels.len() as i64);
        let shape = [raw.labels.len() as i64, raw.size[0], raw.size[1], raw.size[2]];
        let pixels = Tensor::f_from_slice(&raw.pixels)?.f_view(shape)?.f_narrow(0, 0, keep)?;
        let labels = Tensor::f_from_slice(&raw.labels)?.f_narrow(0, 0, keep)?;
        let pixels = Pixels::new(&pixels, set.mean, set.deviation, augment, device)?;
        Ok(Part::images(pixels, labels.f_to(device)?.f_to_kind(tch::Kind::Int64)?))
    };
    let input = ImageInput {
        channels: size[0],
        height: size[1],
        width: size[2],
        mean: set.mean.to_vec(),
        deviation: set.deviation.to_vec(),
    };
    let facts = json!({ "in_channels": size[0], "num_classes": set.classes, "sample": size });
    Ok(Task {
        id: set.id,
        train: part(train, data.train_samples, augment)?,
        validation: part(validation, data.validation_samples, Augment::default())?,
        facts: facts.as_object().cloned().unwrap_or_default(),
        interface: Interface::image(input, set.names),
        validation_batch: 512,
    })
}
