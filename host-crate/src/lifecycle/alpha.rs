//! Alpha: how much of the seed is in the output, and how that moves.

use super::refusal::{Refusal, RefusalCode};
use super::units::{positive_up_to, within};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The shape of a ramp on `[0, 1]`, with exact ends.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, Default)]
#[serde(rename_all = "snake_case")]
pub enum Curve {
    /// `t`.
    #[default]
    Linear,
    /// `(1 - cos(pi t)) / 2`.
    Cosine,
    /// A logistic curve, endpoint-normalised; steepness from the controller.
    Sigmoid,
    /// The report's tanh schedule, midpoint 0.5, temperature `2 / steepness`, endpoint-normalised: the same curve
    /// as [`Curve::Sigmoid`] at the same steepness.
    Tanh,
    /// Values on an even grid over `[0, 1]`, linear between them: a blend plugin's own curve, sampled.
    Table(Vec<f64>),
}

impl Curve {
    /// The curve that goes by a blend's id, if one does.
    pub fn by_id(id: &str) -> Option<Self> {
        match id {
            "linear" => Some(Self::Linear),
            "cosine" => Some(Self::Cosine),
            "sigmoid" => Some(Self::Sigmoid),
            "tanh" => Some(Self::Tanh),
            _ => None,
        }
    }

    /// A table from raw samples of a blend's curve: endpoint-normalised and clamped.
    ///
    /// # Errors
    /// `out_of_range` if the ends are equal, `non_finite` if a sample is not finite.
    pub fn sampled(samples: &[f64]) -> Result<Self, Refusal> {
        let (Some(&first), Some(&last)) = (samples.first(), samples.last()) else {
            return Err(Refusal::new(RefusalCode::OutOfRange, "a blend's curve has no samples"));
        };
        if let Some(bad) = samples.iter().find(|s| !s.is_finite()) {
            return Err(Refusal::new(RefusalCode::NonFinite, format!("a blend's curve has the value {bad}")));
        }
        if first == last {
            let text = format!("a blend's curve begins and ends at {first}; it must rise");
            return Err(Refusal::new(RefusalCode::OutOfRange, text));
        }
        let mut table: Vec<f64> =
            samples.iter().map(|s| ((s - first) / (last - first)).clamp(0.0, 1.0)).collect();
        if let Some(end) = table.last_mut() {
            *end = 1.0;
        }
        Ok(Self::Table(table))
    }

    /// The curve at `t` in `[0, 1]`.
    pub fn at(&self, t: f64, steepness: f64) -> f64 {
        match self {
            Self::Linear => t,
            Self::Cosine => 0.5 * (1.0 - (std::f64::consts::PI * t).cos()),
            Self::Sigmoid | Self::Tanh => {
                let k = steepness.max(0.1);
                let (low, high) = (logistic(-k / 2.0), logistic(k / 2.0));
                if high == low { t } else { (logistic(k * (t - 0.5)) - low) / (high - low) }
            }
            Self::Table(values) => interpolate(values, t),
        }
    }
}

/// `1 / (1 + e^-x)` without overflow on either side.
fn logistic(x: f64) -> f64 {
    if x >= 0.0 {
        1.0 / (1.0 + (-x).exp())
    } else {
        let e = x.exp();
        e / (1.0 + e)
    }
}

fn interpolate(values: &[f64], t: f64) -> f64 {
    let Some(last) = values.len().checked_sub(1) else { return t };
    let position = t * last as f64;
    // A grid point is itself, not a mixture that rounding makes of it and its neighbour.
    let nearest = position.round();
    if (position - nearest).abs() < 1e-9 {
        return values.get(nearest as usize).copied().unwrap_or(t);
    }
    let below = position.floor() as usize;
    let share = position - position.floor();
    match (values.get(below), values.get(below + 1)) {
        (Some(a), Some(b)) => a + (b - a) * share,
        _ => t,
    }
}

/// Which way alpha is moving.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum AlphaMode {
    /// At rest.
    Hold,
    /// Rising.
    Up,
    /// Falling.
    Down,
}

/// The owner of alpha: start, target, clock, clamp and exact ends.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AlphaController {
    alpha: f64,
    start: f64,
    target: f64,
    mode: AlphaMode,
    steps_total: u32,
    steps_done: u32,
    curve: Curve,
    steepness: f64,
}

impl AlphaController {
    /// At 0 and at rest, with a target for later.
    ///
    /// # Errors
    /// `out_of_range` or `non_finite` for a target outside `(0, 1]` or a steepness that is not finite.
    pub fn new(target: f64, curve: Curve, steepness: f64) -> Result<Self, Refusal> {
        positive_up_to("alpha target", target, 1.0)?;
        within("steepness", steepness, f64::MIN, f64::MAX)?;
        let (alpha, start, mode) = (0.0, 0.0, AlphaMode::Hold);
        Ok(Self { alpha, start, target, mode, steps_total: 0, steps_done: 0, curve, steepness })
    }

    /// Starts a ramp to `target` over `steps`; 0 steps jump there.
    ///
    /// # Errors
    /// `ramp_in_progress` unless at rest.
    pub fn retarget(&mut self, target: f64, steps: u32) -> Result<(), Refusal> {
        if self.mode != AlphaMode::Hold {
            let text = format!("alpha is on its way to {}; wait until it has arrived", self.target);
            return Err(Refusal::new(RefusalCode::RampInProgress, text));
        }
        within("alpha target", target, 0.0, 1.0)?;
        (self.start, self.target, self.steps_total, self.steps_done) = (self.alpha, target, steps, 0);
        if steps == 0 {
            self.settle();
        } else if target > self.alpha {
            self.mode = AlphaMode::Up;
        } else if target < self.alpha {
            self.mode = AlphaMode::Down;
        }
        Ok(())
    }

    /// One tick. At rest nothing happens; the last tick lands exactly on the target.
    pub fn step(&mut self) {
        if self.mode == AlphaMode::Hold {
            return;
        }
        self.steps_done += 1;
        if self.steps_done >= self.steps_total {
            self.settle();
            return;
        }
        let t = f64::from(self.steps_done) / f64::from(self.steps_total);
        let raw = self.start + (self.target - self.start) * self.curve.at(t, self.steepness);
        self.alpha = raw.clamp(self.start.min(self.target), self.start.max(self.target));
    }

    /// Exactly on the target and at rest (A11).
    pub fn settle(&mut self) {
        self.alpha = self.target;
        self.mode = AlphaMode::Hold;
        self.steps_done = self.steps_total;
    }

    /// Zero, no target, at rest: the seed is gone (A6).
    pub(super) fn clear(&mut self) {
        (self.alpha, self.start, self.target, self.mode) = (0.0, 0.0, 0.0, AlphaMode::Hold);
        (self.steps_total, self.steps_done) = (0, 0);
    }

    /// How much of the seed is in the output now.
    pub fn alpha(&self) -> f64 {
        self.alpha
    }
    /// Where it goes, or went.
    pub fn target(&self) -> f64 {
        self.target
    }
    /// Which way it moves.
    pub fn mode(&self) -> AlphaMode {
        self.mode
    }
}
