//! A task whose data are loaded.

use super::interface::Interface;
use super::part::Part;
use crate::error::TrainError;
use serde_json::{Map, Value};
use tch::Tensor;

/// A task: data to learn from and to be measured by, and what a host must know of them.
#[derive(Debug)]
pub struct Task {
    /// Id of the task.
    pub id: &'static str,
    /// Samples to train on.
    pub train: Part,
    /// Samples to validate on.
    pub validation: Part,
    /// What a host must know to read the inputs and to make the outputs: `in_channels`, `num_classes`,
    /// `vocab_size` and the like. A host is told what its settings have a name for; the user's own settings
    /// win.
    pub facts: Map<String, Value>,
    /// What a network of this task reads and predicts.
    pub interface: Interface,
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
