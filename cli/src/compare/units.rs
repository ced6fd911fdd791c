//! Formatting of large numbers.

/// Formats a count with a metric prefix: `1.50 M`.
pub(super) fn with_unit(n: f64) -> String {
    let units = [(1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")];
    match units.into_iter().find(|(unit, _)| n >= *unit) {
        Some((unit, name)) => format!("{:.2} {name}", n / unit),
        None => format!("{n:.0}"),
    }
}
