//! What is learned.

mod digits;

use crate::error::TrainError;
use tch::{Device, Tensor};

/// A classification task: everything on the device, split once.
#[derive(Debug)]
pub struct Task {
    /// Its id.
    pub id: &'static str,
    /// `[N, C, H, W]`.
    pub train_inputs: Tensor,
    /// `[N]`, class numbers.
    pub train_labels: Tensor,
    /// `[M, C, H, W]`.
    pub validation_inputs: Tensor,
    /// `[M]`, class numbers.
    pub validation_labels: Tensor,
    /// What the task asks of a host, as configuration; the user's own settings win.
    pub host_config: serde_json::Map<String, serde_json::Value>,
}

/// The tasks there are.
pub const TASKS: [&str; 1] = ["digits"];

/// Loads a task.
///
/// # Errors
/// If there is no such task, or its data is damaged.
pub fn load(id: &str, device: Device) -> Result<Task, TrainError> {
    match id {
        "digits" => digits::load(device),
        other => Err(TrainError::Unknown {
            what: "task",
            name: other.to_owned(),
            known: TASKS.map(str::to_owned).to_vec(),
        }),
    }
}
