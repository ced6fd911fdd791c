//! The reward of an epoch, term by term.

use kasmina::SlotReport;
use kasmina::lifecycle::{Event, EventKind, Stage};
use kasmina_records::Reward;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Weights of the reward's terms, all positive.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RewardWeights {
    /// Reward for each stage that a seed advances. It is subtracted again if the seed falls back or is
    /// pruned.
    #[schemars(range(min = 0.0, max = 1e3))]
    pub gate_passage: f64,
    /// Reward for a fossilized seed.
    #[schemars(range(min = 0.0, max = 1e3))]
    pub fossilization: f64,
    /// Penalty for a pruned seed.
    #[schemars(range(min = 0.0, max = 1e3))]
    pub pruning: f64,
    /// Penalty per epoch for running seeds, times their parameters relative to the host's.
    #[schemars(range(min = 0.0, max = 1e3))]
    pub compute_rent: f64,
}

impl Default for RewardWeights {
    fn default() -> Self {
        Self { gate_passage: 0.2, fossilization: 2.0, pruning: 0.2, compute_rent: 0.05 }
    }
}

/// Potential of a stage. The reward is the difference of potentials, so that a controller gains nothing by
/// moving a seed back and forth. FOSSILIZED has the potential of HOLDING, because it has a term of its own.
fn potential(stage: Stage) -> f64 {
    match stage {
        Stage::Training => 1.0,
        Stage::Blending => 2.0,
        Stage::Shadowing => 2.5,
        Stage::Holding | Stage::Fossilized => 3.0,
        _ => 0.0,
    }
}

/// Returns the reward of an epoch, from its events and the reports of the slots after it.
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
                reward.gate_passage += weights.gate_passage * (potential(*to) - potential(*from));
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
