//! A task with its loaded data.

use super::interface::Interface;
use super::part::Part;
use crate::error::TrainError;
use serde_json::{Map, Value};
use tch::Tensor;

/// A task with its training data, its validation data, and the facts that a host needs about them.
#[derive(Debug)]
pub struct Task {
    /// Id of the task.
    pub id: &'static str,
    /// Samples to train on.
    pub train: Part,
    /// Samples to validate on.
    pub validation: Part,
    /// Sizes of the data that a host needs, such as `in_channels`, `num_classes` and `vocab_size`. Each fact
    /// is passed to hosts whose schema has a setting of its name; the user's own settings win.
    pub facts: Map<String, Value>,
    /// Inputs and outputs of a network for this task.
    pub interface: Interface,
    /// Number of samples in a validation batch.
    pub validation_batch: i64,
}

impl Task {
    /// Refuses a host whose outputs do not fit the labels.
    ///
    /// # Shapes
    /// `outputs`: `[..., C]` for `labels` of shape `[...]`, where `C` is at least the number of classes.
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
                "`{host}` returns logits of shape {found:?}, but the labels of `{}` need {wanted:?}, with the classes as the last dimension",
                self.id
            ),
        })
    }
}
