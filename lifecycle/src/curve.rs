//! Curves of alpha ramps.

use super::refusal::{Refusal, RefusalCode};
use super::units::within;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Curve of an alpha ramp, a function from `[0, 1]` to `[0, 1]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, Default)]
#[serde(rename_all = "snake_case")]
pub enum Curve {
    /// `t`.
    #[default]
    Linear,
    /// `(1 - cos(pi t)) / 2`.
    Cosine,
    /// A logistic curve with midpoint 0.5, scaled to end exactly at 0 and 1. `steepness` is a setting of
    /// alpha.
    Sigmoid,
    /// A tanh curve with midpoint 0.5 and temperature `2 / steepness`, scaled to end exactly at 0 and 1. It
    /// equals [`Curve::Sigmoid`] of the same steepness.
    Tanh,
    /// Values on an even grid over `[0, 1]` with linear interpolation: the sampled curve of a blend plugin.
    Table(Vec<f64>),
}

impl Curve {
    /// Returns the curve of a built-in name, which is also the id of a shipped blend; `None` for other names.
    pub fn by_id(id: &str) -> Option<Self> {
        match id {
            "linear" => Some(Self::Linear),
            "cosine" => Some(Self::Cosine),
            "sigmoid" => Some(Self::Sigmoid),
            "tanh" => Some(Self::Tanh),
            _ => None,
        }
    }

    /// Creates a table from samples of a blend's curve, scaled to begin at 0 and end at 1, and clamped.
    ///
    /// # Errors
    /// `out_of_range` if there is no sample or the ends are equal, `non_finite` if a sample is not finite.
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

    /// Refuses a table with fewer than 2 values, or with a value outside `[0, 1]`.
    pub(super) fn check(&self) -> Result<(), Refusal> {
        let Self::Table(values) = self else { return Ok(()) };
        if values.len() < 2 {
            let text = format!("a curve's table has {} values; it needs at least 2", values.len());
            return Err(Refusal::new(RefusalCode::OutOfRange, text));
        }
        values.iter().try_for_each(|value| within("a value of the curve's table", *value, 0.0, 1.0).map(drop))
    }

    /// Value of the curve at `t` in `[0, 1]`. Only the sigmoid and the tanh curve read `steepness`; below 0.1
    /// it counts as 0.1.
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
    // At a grid point the value is exact. Rounding must not mix in the neighbour.
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
