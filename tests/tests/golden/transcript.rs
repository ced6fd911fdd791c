//! The transcript of a run: its main numbers and events in text, and hashes of everything.

use kasmina::MorphogeneticModel;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use tch::Tensor;

/// Fields that are not compared: the build of a plugin, which changes with every compilation, and message
/// texts.
const IGNORED: [&str; 5] = ["generation", "from_generation", "to_generation", "message", "found"];

/// A text that is built line by line.
#[derive(Default)]
pub(crate) struct Transcript {
    text: String,
}

impl Transcript {
    pub(crate) fn line(&mut self, line: &str) {
        self.text += line;
        self.text.push('\n');
    }

    /// Adds a row of `metrics.jsonl`: the losses, the accuracy, and a hash of the whole row.
    pub(crate) fn epoch(&mut self, mut row: Value) {
        row.as_object_mut().unwrap().remove("seconds");
        let number = |field: &str| row[field].to_string();
        let (train, val) = (number("train_loss"), number("val_loss"));
        let (epoch, accuracy) = (number("epoch"), number("val_accuracy"));
        let hash = short(row.to_string().as_bytes());
        self.line(&format!("epoch {epoch} train {train} val {val} accuracy {accuracy} row {hash}"));
    }

    /// Adds one line for each event without its numbers, then a hash of all events with their numbers.
    pub(crate) fn events(&mut self, events: Vec<Value>) {
        let mut all = String::new();
        for event in events {
            let event = comparable(event);
            self.line(&event_line(&event));
            let _ = writeln!(all, "{event}");
        }
        self.line(&format!("events {}", short(all.as_bytes())));
    }

    /// Adds a hash of the rows of `commands.jsonl`.
    pub(crate) fn commands(&mut self, commands: Vec<Value>) {
        let mut all = String::new();
        for command in commands {
            let _ = writeln!(all, "{}", comparable(command));
        }
        self.line(&format!("commands {}", short(all.as_bytes())));
    }

    /// Adds the hashes of all trainable parameters of the host and of the seeds.
    pub(crate) fn weights(&mut self, model: &MorphogeneticModel) {
        let hash = |parameters: Vec<(&str, &Tensor)>| {
            let mut hasher = Sha256::new();
            for (name, tensor) in parameters {
                hasher.update(name.as_bytes());
                hasher.update(bytes(tensor));
            }
            hex(&hasher.finalize())
        };
        let host = hash(model.host_parameters().map(|p| (p.name.as_str(), &p.tensor)).collect());
        let seeds = hash(model.seed_parameters().map(|p| (p.name.as_str(), &p.tensor)).collect());
        self.line(&format!("weights host {host} seeds {seeds}"));
    }

    pub(crate) fn finish(self) -> String {
        self.text
    }
}

/// Returns the line of an event, without its numbers.
fn event_line(event: &Value) -> String {
    let text = |field: &str| event[field].as_str().unwrap_or_default().to_owned();
    let mut line = format!("event {} {} {}", event["epoch"], text("slot_id"), text("event"));
    for field in ["seed_id", "from", "to", "gate", "passed", "reason", "policy", "accepted"] {
        match &event[field] {
            Value::String(value) => line += &format!(" {field}={}", value.replace(['\n', ' '], "_")),
            Value::Bool(value) => line += &format!(" {field}={value}"),
            _ => {}
        }
    }
    line
}

/// Removes what differs between two compilations, and the texts of messages.
fn comparable(mut value: Value) -> Value {
    fn clean(value: &mut Value) {
        match value {
            Value::Object(map) => {
                for field in IGNORED {
                    map.remove(field);
                }
                // Of `code: text` only the code is compared. An error of a plugin is only text.
                if let Some(Value::String(error)) = map.get_mut("error") {
                    let code = error.split(':').next().unwrap_or_default().to_owned();
                    *error = code;
                }
                if map.get("event").and_then(Value::as_str).is_some_and(|name| name.starts_with("PLUGIN_")) {
                    map.remove("reason");
                    map.remove("error");
                }
                map.values_mut().for_each(clean);
            }
            Value::Array(list) => list.iter_mut().for_each(clean),
            _ => {}
        }
    }
    clean(&mut value);
    value
}

fn bytes(tensor: &Tensor) -> Vec<u8> {
    let flat = tensor.detach().contiguous().reshape([-1]).to_kind(tch::Kind::Double);
    Vec::<f64>::try_from(flat).unwrap().into_iter().flat_map(f64::to_le_bytes).collect()
}

fn short(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Returns the first 16 hexadecimal digits.
fn hex(digest: &[u8]) -> String {
    hex::encode(&digest[..8])
}
