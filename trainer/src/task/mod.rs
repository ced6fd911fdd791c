//! What is learned.

mod addition;
mod chars;
mod digits;
mod images;
mod order;
mod part;
mod presets;
mod score;

pub use order::Order;
pub use part::Part;
pub(crate) use presets::{host_config, preset};
pub use score::cross_entropy;
pub(crate) use score::hits;

use crate::config::{DataConfig, RunConfig};
use crate::error::TrainError;
use serde_json::{Map, Value};
use tch::{Device, Tensor};

/// A task: data to learn from and to be measured by, and what a host must know of them.
#[derive(Debug)]
pub struct Task {
    /// Its id.
    pub id: &'static str,
    /// To learn from.
    pub train: Part,
    /// To be measured by.
    pub validation: Part,
    /// What a host must know to read the inputs and to make the outputs: `in_channels`, `num_classes`, `vocab_size` and
    /// the like. A host is told what its settings have a name for; the user's own settings win.
    pub facts: Map<String, Value>,
    /// Samples that are measured at a time.
    pub validation_batch: i64,
}

impl Task {
    /// Refuses a host whose outputs are no predictions for these labels.
    ///
    /// # Shapes
    /// `outputs`: `[.., C]` for labels `[..]`, with a number for each class at least.
    pub(crate) fn fits(&self, outputs: &Tensor, labels: &Tensor, host: &str) -> Result<(), TrainError> {
        let fact = |name: &str| self.facts.get(name).and_then(Value::as_i64);
        let Some(classes) = fact("num_classes").or_else(|| fact("vocab_size")) else { return Ok(()) };
        let (found, mut wanted) = (outputs.size(), labels.size());
        let fits = found.split_last().is_some_and(|(width, rest)| *rest == wanted && *width >= classes);
        wanted.push(classes);
        if fits {
            return Ok(());
        }
        Err(TrainError::Setting {
            field: "host".to_owned(),
            reason: format!(
                "`{host}` gives {found:?} for labels of `{}` that want {wanted:?}: one number a class comes last",
                self.id
            ),
        })
    }
}

/// How the data of a task come.
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

/// The tasks there are.
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

/// Refuses a task that there is not.
///
/// # Errors
/// If there is none by this name.
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
