//! Bounds of settings.

/// A setting out of its bounds.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{field}`: {reason}")]
pub struct SettingsError {
    /// Which one, as a path.
    pub field: String,
    /// What is wrong with the value and what is allowed, for people.
    pub reason: String,
}

impl SettingsError {
    pub(super) fn new(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { field: field.into(), reason: reason.into() }
    }

    /// The same, seen from the settings that hold these.
    pub(super) fn inside(self, part: &str) -> Self {
        Self { field: format!("{part}.{}", self.field), ..self }
    }
}

/// The lower bound of what must be above 0; any other is inclusive.
pub(super) const ABOVE_ZERO: f64 = f64::from_bits(1);

/// Refuses a setting outside its bounds, NaN included.
pub(super) fn bounded(field: &str, value: f64, low: f64, high: f64) -> Result<(), SettingsError> {
    if (low..=high).contains(&value) {
        return Ok(());
    }
    let low = if low == ABOVE_ZERO { "above 0".to_owned() } else { format!("at least {low}") };
    Err(SettingsError::new(field, format!("{value} is not {low} and at most {high}")))
}
