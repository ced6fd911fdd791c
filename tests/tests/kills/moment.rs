//! Moments at which runs are killed.

use serde_json::Value;

/// A moment at which a run is to be killed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment {
    /// Kind of the moment: the stage of a slot, or another condition such as a prefetch in flight.
    pub(crate) what: String,
    /// Epoch in training, counted from 1.
    pub(crate) epoch: u64,
    /// Minimum and maximum number of completed steps of the epoch.
    pub(crate) steps: (u64, u64),
}

/// Returns the kinds of moment to which the state of a checkpoint belongs.
pub(crate) fn of_state(state: &Value) -> Vec<String> {
    let mut all = Vec::new();
    let samples = state["position"]["samples"].as_i64().unwrap_or(0);
    let batch = state["config"]["optimizer"]["batch_size"].as_i64().unwrap_or(1);
    for slot in state["model"]["slots"].as_array().into_iter().flatten() {
        let seed = &slot["lifecycle"]["seed"];
        let Some(stage) = seed["stage"].as_str() else { continue };
        all.push(stage.to_owned());
        if seed["scheduled_prune"].is_string() {
            all.push("scheduled prune".to_owned());
        }
        let glide = &slot["glide"];
        if samples > 0 && glide["done"] != glide["steps"] && glide["from"] != glide["to"] {
            all.push("BLENDING, alpha on its way".to_owned());
        }
        if stage == "TRAINING" && seed["epochs_in_stage"] == 0 {
            match samples / batch {
                0 => all.push("new seed, before its first step".to_owned()),
                1..=3 => all.push("new seed, after 1 to 3 steps".to_owned()),
                _ => {}
            }
        }
    }
    if state["model"]["prefetches"].as_array().is_some_and(|p| !p.is_empty()) {
        all.push("prefetch in flight".to_owned());
    }
    if all.is_empty() {
        all.push("no seed".to_owned());
    }
    all.sort();
    all.dedup();
    all
}
