//! Features: a slot as a vector of numbers in `-1..=1`, for learned controllers.

use kasmina::SlotReport;
use kasmina::lifecycle::{AlphaMode, Gate, Stage};

/// Version of [`FEATURES`], raised with every change. A learned controller fits only the version it was
/// trained on.
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

/// Names of the features, in their order.
///
/// | name | meaning | unit |
/// |---|---|---|
/// | `UNKNOWN` to `RESETTING` | stage, one-hot, by code | 0 or 1 |
/// | `epochs_in_stage` | validations since the slot entered the stage | share of the run, at most 1 |
/// | `alpha`, `alpha_target` | current and target alpha | 0..=1 |
/// | `alpha_hold`, `alpha_up`, `alpha_down` | direction of alpha, one-hot; all 0 in an empty slot | 0 or 1 |
/// | `improvement` | accuracy gained in this stage | points / 100 |
/// | `contribution_measured`, `contribution` | counterfactual contribution in this stage; 0 if not measured | points / 100 |
/// | `gradient_measured`, `gradient_ratio` | gradient norm relative to the host's; 0 if not measured | ratio / 10 |
/// | `score_g1` to `score_g5` | current score of the gate before the next stage; 0 for the other gates | 0..=1 |
/// | `parameter_share` | parameters of seed and gate, as a share of the network's | 0..=1 |
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

/// Returns the features of one slot, in the order of [`FEATURES`]. `max_epochs` is the length of the run,
/// `parameters` the number of trainable parameters of host and seeds.
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
