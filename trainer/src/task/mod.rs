//! Tasks: loading their data, making batches of them, and scoring predictions.

mod addition;
mod chars;
mod content;
mod digits;
mod images;
mod interface;
mod loaded;
mod order;
mod part;
mod presets;
mod score;

pub use images::read_picture;
pub use interface::{ImageInput, Input, Interface, TokenInput};
pub use loaded::Task;
pub use order::Order;
pub use part::Part;
pub(crate) use presets::{host_config, preset};
pub use score::cross_entropy;
pub(crate) use score::hits;

use crate::config::{DataConfig, RunConfig};
use crate::error::TrainError;
use tch::Device;

/// A task with the function that loads its data.
struct Known {
    id: &'static str,
    load: fn(&DataConfig, Device) -> Result<Task, TrainError>,
}

const KNOWN: [Known; 7] = [
    Known { id: digits::ID, load: digits::load },
    Known { id: images::CIFAR10, load: images::cifar10 },
    Known { id: images::CIFAR100, load: images::cifar100 },
    Known { id: images::MNIST, load: images::mnist },
    Known { id: images::FASHION_MNIST, load: images::fashion_mnist },
    Known { id: chars::ID, load: chars::load },
    Known { id: addition::ID, load: addition::load },
];

/// Returns the ids of all tasks.
pub fn tasks() -> impl Iterator<Item = &'static str> {
    KNOWN.iter().map(|known| known.id)
}

fn find(id: &str) -> Result<&'static Known, TrainError> {
    KNOWN.iter().find(|known| known.id == id).ok_or_else(|| TrainError::Unknown {
        what: "task",
        name: id.to_owned(),
        known: tasks().map(str::to_owned).collect(),
    })
}

/// Refuses the id of a task that does not exist.
pub(crate) fn check(id: &str) -> Result<(), TrainError> {
    find(id).map(drop)
}

/// Loads the task of a run.
///
/// # Errors
/// If there is no such task, or its data are missing or damaged.
pub fn load(config: &RunConfig, device: Device) -> Result<Task, TrainError> {
    (find(&config.task)?.load)(&config.data, device)
}
