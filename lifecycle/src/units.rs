//! Numbers with a range that is checked once, where they come in.

use super::refusal::{Refusal, RefusalCode};
use serde::{Deserialize, Serialize};

/// Tolerance of the comparisons that decide: with binary fractions 16.4 - 15.9 is less than 0.5, and must
/// pass 0.5.
pub(super) const TOLERANCE: f64 = 1e-9;

/// An inclusive threshold. NaN never passes.
pub(super) fn at_least(value: f64, threshold: f64) -> bool {
    value >= threshold - TOLERANCE
}

/// A floor that is not fooled by 28.999999999999996.
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

/// Refuses what is not finite or outside `0 < value <= high`, by name.
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
    /// Checks the range.
    ///
    /// # Errors
    /// `non_finite` or `out_of_range`.
    pub fn new(value: f64) -> Result<Self, Refusal> {
        within("accuracy", value, 0.0, 100.0).map(Self)
    }
    /// The value.
    pub const fn get(self) -> f64 {
        self.0
    }
}

/// A difference of accuracies in percent points, `-100..=100`.
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
    /// Percentage points.
    pub const fn get(self) -> f64 {
        self.0
    }
}

/// Numbers that may not be finite, in a format that has no such numbers: `"NaN"`, `"Infinity"`,
/// `"-Infinity"`.
pub mod any_number {
    use serde::{Deserialize, Deserializer, Serializer};

    const NAMES: [(&str, f64); 3] =
        [("NaN", f64::NAN), ("Infinity", f64::INFINITY), ("-Infinity", f64::NEG_INFINITY)];

    /// As `#[serde(with = "any_number")]` calls it.
    ///
    /// # Errors
    /// The format's own.
    pub fn serialize<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
        if value.is_finite() {
            return serializer.serialize_f64(*value);
        }
        let same = |n: &f64| n.is_nan() == value.is_nan() && (n.is_nan() || n == value);
        serializer.serialize_str(NAMES.iter().find(|(_, n)| same(n)).map_or("NaN", |(name, _)| name))
    }

    /// As `#[serde(with = "any_number")]` calls it.
    ///
    /// # Errors
    /// If it is neither a number nor one of the three names.
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
                .ok_or_else(|| serde::de::Error::custom(format!("`{name}` is no number"))),
        }
    }
}

/// The same of a number that may be absent, for `#[serde(with = "any_number_or_none")]`.
pub mod any_number_or_none {
    use super::any_number;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    struct Number(#[serde(with = "any_number")] f64);

    /// As `#[serde(with = "any_number_or_none")]` calls it.
    ///
    /// # Errors
    /// The format's own.
    pub fn serialize<S: Serializer>(value: &Option<f64>, serializer: S) -> Result<S::Ok, S::Error> {
        value.map(Number).serialize(serializer)
    }

    /// As `#[serde(with = "any_number_or_none")]` calls it.
    ///
    /// # Errors
    /// If it is there, and neither a number nor one of the three names.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
        Ok(Option::<Number>::deserialize(deserializer)?.map(|Number(value)| value))
    }
}

/// The same of numbers by name, for `#[serde(with = "any_numbers")]`.
pub mod any_numbers {
    use super::any_number;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use std::collections::BTreeMap;

    #[derive(Serialize, Deserialize)]
    struct Number(#[serde(with = "any_number")] f64);

    /// As `#[serde(with = "any_numbers")]` calls it.
    ///
    /// # Errors
    /// The format's own.
    pub fn serialize<S: Serializer>(all: &BTreeMap<String, f64>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(all.iter().map(|(name, value)| (name, Number(*value))))
    }

    /// As `#[serde(with = "any_numbers")]` calls it.
    ///
    /// # Errors
    /// If one is neither a number nor one of the three names.
    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeMap<String, f64>, D::Error> {
        let all = BTreeMap::<String, Number>::deserialize(deserializer)?;
        Ok(all.into_iter().map(|(name, Number(value))| (name, value)).collect())
    }
}
