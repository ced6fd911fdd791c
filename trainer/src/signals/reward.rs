//! What an epoch was worth, term by term, as the seed report names them.

use kasmina::SlotReport;
use kasmina::lifecycle::{Event, EventKind, Stage};
use kasmina_records::Reward;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How much each term weighs; all are given as positive numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RewardWeights {
    /// For each stage climbed; given back where a seed goes down again or is pruned.
    #[schemars(range(min = 0.0, max = 1e3))]
    pub gate_passage: f64,
    /// For a seed that became part of the network for good.
    #[schemars(range(min = 0.0, max = 1e3))]
    pub fossilization: f64,
    /// Against a seed that was pruned.
    #[schemars(range(min = 0.0, max = 1e3))]
    pub pruning: f64,
    /// Against every epoch of a running seed, by its size: parameters that run, relative to the host's.
    #[schemars(range(min = 0.0, max = 1e3))]
    pub compute_rent: f64,
}

impl Default for RewardWeights {
    fn default() -> Self {
        Self { gate_passage: 0.2, fossilization: 2.0, pruning: 0.2, compute_rent: 0.05 }
    }
}

/// How high a stage stands. Differences of heights cannot be farmed: going down, and being pruned, costs what
/// going up again earns. FOSSILIZED stands with HOLDING, its reward is a term of its own.
fn height(stage: Stage) -> f64 {
    match stage {
        Stage::Training => 1.0,
        Stage::Blending => 2.0,
        Stage::Shadowing => 2.5,
        Stage::Holding | Stage::Fossilized => 3.0,
        _ => 0.0,
    }
}

/// The reward of an epoch, from its events and the slots as they stand after it.
pub fn reward(
    events: &[Event],
    slots: &[SlotReport],
    host_parameters: u64,
    weights: &RewardWeights,
) -> Reward {
    let mut reward = Reward::default();
    for event in events {
        match &event.kind {
            EventKind::SeedStageChanged { from, to, .. } => {
                reward.gate_passage += weights.gate_passage * (height(*to) - height(*from));
            }
            EventKind::SeedFossilized { .. } => reward.fossilization += weights.fossilization,
            EventKind::SeedPruned { .. } => reward.pruning -= weights.pruning,
            _ => {}
        }
    }
    let running: u64 = slots.iter().filter(|s| s.stage.is_active()).map(|s| s.parameters).sum();
    reward.compute_rent -= weights.compute_rent * running as f64 / host_parameters.max(1) as f64;
    reward
}
