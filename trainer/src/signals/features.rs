//! A slot as a vector of numbers in `-1..=1`.

use kasmina::SlotReport;
use kasmina::lifecycle::{AlphaMode, Gate, Stage};

/// Raised with every change of [`FEATURES`]: a controller learned on another version does not fit.
pub const FEATURES_VERSION: u32 = 1;

const STAGES: usize = Stage::ALL.len();
const OTHERS: [&str; 17] = [
    "epochs_in_stage",
    "alpha",
    "alpha_target",
    "alpha_hold",
    "alpha_up",
    "alpha_down",
    "improvement",
    "contribution_measured",
    "contribution",
    "gradient_measured",
    "gradient_ratio",
    "score_g1",
    "score_g2",
    "score_g3",
    "score_g4",
    "score_g5",
    "parameter_share",
];
const WIDTH: usize = STAGES + OTHERS.len();

/// The names of the features, in their order.
///
/// | name | of | unit |
/// |---|---|---|
/// | `UNKNOWN` to `RESETTING` | the stage, one-hot, by code | 0 or 1 |
/// | `epochs_in_stage` | validations in this visit of the stage | share of the run, at most 1 |
/// | `alpha`, `alpha_target` | as the lifecycle has them | 0..=1 |
/// | `alpha_hold`, `alpha_up`, `alpha_down` | which way alpha moves, one-hot; none in an empty slot | 0 or 1 |
/// | `improvement` | accuracy gained in this stage | points / 100 |
/// | `contribution_measured`, `contribution` | the counterfactual of this stage, 0 where not measured | points / 100 |
/// | `gradient_measured`, `gradient_ratio` | gradient activity beside the host's, 0 where not measured | ratio / 10 |
/// | `score_g1` to `score_g5` | the score of the gate before the next stage, as it would be now; 0 for the others | 0..=1 |
/// | `parameter_share` | parameters of seed and gate among all of the network's | 0..=1 |
///
/// The four numbers that the seed report names (stage, epochs in stage, alpha, improvement) are among them,
/// and so are the gate scores that it recommends.
pub const FEATURES: [&str; WIDTH] = names();

const fn names() -> [&'static str; WIDTH] {
    let mut all = [""; WIDTH];
    let mut i = 0;
    while i < WIDTH {
        all[i] = if i < STAGES { Stage::ALL[i].as_str() } else { OTHERS[i - STAGES] };
        i += 1;
    }
    all
}

/// The features of one slot, in the order of [`FEATURES`]. `max_epochs` is the run's length, `parameters` all
/// trainable parameters of host and seeds.
pub fn features(slot: &SlotReport, max_epochs: u32, parameters: u64) -> [f64; WIDTH] {
    let one = |yes: bool| f64::from(u8::from(yes));
    let living = slot.seed_id.is_some();
    let mode = |mode: AlphaMode| one(living && slot.alpha_mode == mode);
    let score = |gate: Gate| slot.gate_score(gate).unwrap_or(0.0).clamp(0.0, 1.0);
    let others: [f64; OTHERS.len()] = [
        (f64::from(slot.epochs_in_stage) / f64::from(max_epochs.max(1))).min(1.0),
        slot.alpha,
        slot.alpha_target,
        mode(AlphaMode::Hold),
        mode(AlphaMode::Up),
        mode(AlphaMode::Down),
        slot.improvement / 100.0,
        one(slot.contribution.is_some()),
        slot.contribution.unwrap_or(0.0) / 100.0,
        one(slot.gradient_ratio.is_some()),
        slot.gradient_ratio.unwrap_or(0.0) / 10.0,
        score(Gate::G1),
        score(Gate::G2),
        score(Gate::G3),
        score(Gate::G4),
        score(Gate::G5),
        slot.parameters as f64 / parameters.max(1) as f64,
    ];
    let mut all = [0.0; WIDTH];
    let (stages, rest) = all.split_at_mut(STAGES);
    for (place, stage) in stages.iter_mut().zip(Stage::ALL) {
        *place = one(stage == slot.stage);
    }
    rest.copy_from_slice(&others);
    all
}
