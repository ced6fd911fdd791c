//! Numbers that cannot be wrong: ranges are checked once, at the boundary (lifecycle A1, A2).

use super::refusal::{Refusal, RefusalCode};
use serde::{Deserialize, Serialize};

/// Below this, two numbers of a decision are the same: 16.4 - 15.9 must pass 0.5 (A1).
const TOLERANCE: f64 = 1e-9;

/// An inclusive threshold (A1). NaN never passes.
pub(super) fn at_least(value: f64, threshold: f64) -> bool {
    value >= threshold - TOLERANCE
}

/// A floor that is not fooled by 28.999999999999996 (A1).
pub(super) fn floor(value: f64) -> f64 {
    (value + TOLERANCE).floor()
}

/// Refuses what is not finite or outside `low..=high`, by name.
pub(super) fn within(name: &str, value: f64, low: f64, high: f64) -> Result<f64, Refusal> {
    if !value.is_finite() {
        return Err(Refusal::new(
            RefusalCode::NonFinite,
            format!("{name} is {value}; it must be a finite number"),
        ));
    }
    if value < low || value > high {
        let text = format!("{name} is {value}; it must lie in {low}..={high}");
        return Err(Refusal::new(RefusalCode::OutOfRange, text));
    }
    Ok(value)
}

/// An accuracy in percent, `0..=100`.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Accuracy(f64);

impl Accuracy {
    /// Checks the range.
    ///
    /// # Errors
    /// `non_finite` or `out_of_range`.
    pub fn new(value: f64) -> Result<Self, Refusal> {
        within("accuracy", value, 0.0, 100.0).map(Self)
    }
    /// The number.
    pub const fn get(self) -> f64 {
        self.0
    }
}

/// A difference of accuracies in percent points, `-100..=100`.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Percent(f64);

impl Percent {
    /// No difference.
    pub const ZERO: Self = Self(0.0);

    /// Checks the range.
    ///
    /// # Errors
    /// `non_finite` or `out_of_range`.
    pub fn new(name: &str, value: f64) -> Result<Self, Refusal> {
        within(name, value, -100.0, 100.0).map(Self)
    }
    /// `a - b`: always in range.
    pub fn between(a: Accuracy, b: Accuracy) -> Self {
        Self(a.0 - b.0)
    }
    /// The number.
    pub const fn get(self) -> f64 {
        self.0
    }
}
