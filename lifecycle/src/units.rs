//! Numbers whose range is checked once, on input, and serialization of numbers that are not finite.

use super::refusal::{Refusal, RefusalCode};
use serde::{Deserialize, Serialize};

/// Tolerance of comparisons that decide. In binary floating point 16.4 - 15.9 is less than 0.5, and must
/// still pass a threshold of 0.5.
pub(super) const TOLERANCE: f64 = 1e-9;

/// Whether `value` reaches `threshold`, within the tolerance. NaN never does.
pub(super) fn at_least(value: f64, threshold: f64) -> bool {
    value >= threshold - TOLERANCE
}

/// Largest integer that `value` reaches within the tolerance: 29 for 28.999999999999996.
pub(super) fn floor(value: f64) -> f64 {
    (value + TOLERANCE).floor()
}

/// Refuses a value that is not finite or outside `low..=high`. `name` is the value's name in the message.
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

/// Refuses a value that is not finite or outside `0 < value <= high`. `name` is the value's name in the
/// message.
pub(super) fn positive_up_to(name: &str, value: f64, high: f64) -> Result<f64, Refusal> {
    if value.is_finite() && !(value > 0.0 && value <= high) {
        let text = format!("{name} is {value}; it must be above 0 and at most {high}");
        return Err(Refusal::new(RefusalCode::OutOfRange, text));
    }
    within(name, value, 0.0, high)
}

/// An accuracy in percent, `0..=100`.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Accuracy(f64);

impl TryFrom<f64> for Accuracy {
    type Error = Refusal;
    fn try_from(value: f64) -> Result<Self, Refusal> {
        Self::new(value)
    }
}

impl From<Accuracy> for f64 {
    fn from(value: Accuracy) -> Self {
        value.0
    }
}

impl Accuracy {
    /// Creates an accuracy from percent and checks its range.
    ///
    /// # Errors
    /// `non_finite` or `out_of_range`.
    pub fn new(value: f64) -> Result<Self, Refusal> {
        within("accuracy", value, 0.0, 100.0).map(Self)
    }
    /// Accuracy in percent.
    pub const fn get(self) -> f64 {
        self.0
    }
}

/// A difference of accuracies in percentage points, `-100..=100`.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Percent(f64);

impl TryFrom<f64> for Percent {
    type Error = Refusal;
    fn try_from(value: f64) -> Result<Self, Refusal> {
        Self::new("percent points", value)
    }
}

impl From<Percent> for f64 {
    fn from(value: Percent) -> Self {
        value.0
    }
}

impl Percent {
    /// A difference of 0 percentage points.
    pub const ZERO: Self = Self(0.0);

    /// Creates a difference and checks its range. `name` is the value's name in the refusal.
    ///
    /// # Errors
    /// `non_finite` or `out_of_range`.
    pub fn new(name: &str, value: f64) -> Result<Self, Refusal> {
        within(name, value, -100.0, 100.0).map(Self)
    }
    /// Returns `a - b`, which is always in range.
    pub fn between(a: Accuracy, b: Accuracy) -> Self {
        Self(a.0 - b.0)
    }
    /// Difference in percentage points.
    pub const fn get(self) -> f64 {
        self.0
    }
}

/// Serialization of a number that may not be finite, for `#[serde(with = "any_number")]`. JSON has no such
/// numbers, so they are written as `"NaN"`, `"Infinity"` and `"-Infinity"`.
pub mod any_number {
    use serde::{Deserialize, Deserializer, Serializer};

    const NAMES: [(&str, f64); 3] =
        [("NaN", f64::NAN), ("Infinity", f64::INFINITY), ("-Infinity", f64::NEG_INFINITY)];

    /// Serializes a number.
    ///
    /// # Errors
    /// If the serializer fails.
    pub fn serialize<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
        if value.is_finite() {
            return serializer.serialize_f64(*value);
        }
        let same = |n: &f64| n.is_nan() == value.is_nan() && (n.is_nan() || n == value);
        serializer.serialize_str(NAMES.iter().find(|(_, n)| same(n)).map_or("NaN", |(name, _)| name))
    }

    /// Deserializes a number.
    ///
    /// # Errors
    /// If the value is neither a number nor one of the three names.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Any {
            Number(f64),
            Name(String),
        }
        match Any::deserialize(deserializer)? {
            Any::Number(number) => Ok(number),
            Any::Name(name) => NAMES
                .iter()
                .find(|(known, _)| *known == name)
                .map(|(_, number)| *number)
                .ok_or_else(|| serde::de::Error::custom(format!("`{name}` is not a number"))),
        }
    }
}

/// Serialization as [`any_number`] of a number that may be absent, for
/// `#[serde(with = "any_number_or_none")]`.
pub mod any_number_or_none {
    use super::any_number;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    struct Number(#[serde(with = "any_number")] f64);

    /// Serializes an optional number.
    ///
    /// # Errors
    /// If the serializer fails.
    pub fn serialize<S: Serializer>(value: &Option<f64>, serializer: S) -> Result<S::Ok, S::Error> {
        value.map(Number).serialize(serializer)
    }

    /// Deserializes an optional number.
    ///
    /// # Errors
    /// If the value is present, and neither a number nor one of the three names.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
        Ok(Option::<Number>::deserialize(deserializer)?.map(|Number(value)| value))
    }
}

/// Serialization as [`any_number`] of a map of numbers, for `#[serde(with = "any_numbers")]`.
pub mod any_numbers {
    use super::any_number;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use std::collections::BTreeMap;

    #[derive(Serialize, Deserialize)]
    struct Number(#[serde(with = "any_number")] f64);

    /// Serializes a map of numbers.
    ///
    /// # Errors
    /// If the serializer fails.
    pub fn serialize<S: Serializer>(all: &BTreeMap<String, f64>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(all.iter().map(|(name, value)| (name, Number(*value))))
    }

    /// Deserializes a map of numbers.
    ///
    /// # Errors
    /// If a value is neither a number nor one of the three names.
    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeMap<String, f64>, D::Error> {
        let all = BTreeMap::<String, Number>::deserialize(deserializer)?;
        Ok(all.into_iter().map(|(name, Number(value))| (name, value)).collect())
    }
}
