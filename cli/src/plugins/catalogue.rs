//! `kasmina plugins catalogue`: a page about every entry that is found, made out of what its code says of
//! itself.

use super::args::Access;
use super::output::topologies;
use super::settings;
use crate::failure::Failure;
use crate::terminal;
use kasmina_plugin_api::{Kind, Site, Topology};
use kasmina_registry::{Entry, Registry};
use std::fmt::Write as _;

/// Widths of slots that costs are shown for: those of the default hosts, and a narrow one.
const WIDTHS: [i64; 4] = [8, 32, 128, 384];
/// Widths that a formula is found by. They are whole where a blueprint divides its channels.
const BASE: i64 = 64;

pub(crate) fn run(access: &Access) -> Result<(), Failure> {
    let registry = Registry::load(&access.search(), &access.policy())?;
    terminal::out(&page(&registry.entries()));
    Ok(())
}

fn page(entries: &[Entry]) -> String {
    let mut page = String::from("# Catalogue\n\n");
    page.push_str(
        "Written by `kasmina plugins catalogue` out of what the plugins say of themselves. *C* is the number of channels \
         of a slot; formulas hold where *C* is a multiple of 64. Multiply-adds are of one forward, per position of the \
         feature map, as the blueprint tells them.\n",
    );
    for (kind, title) in [(Kind::Blueprint, "Blueprints"), (Kind::Blend, "Blends"), (Kind::Host, "Hosts")] {
        let _ = write!(page, "\n## {title}\n");
        for entry in entries.iter().filter(|e| e.kind() == kind && !e.interprets()) {
            about(&mut page, entry);
        }
    }
    page
}

fn about(page: &mut String, entry: &Entry) {
    let record = entry.record();
    let _ = write!(page, "\n### {}\n\n{}\n\n", entry.full_name(), record.summary);
    let _ = writeln!(page, "- topologies: {}", topologies(&record.topologies));
    if !record.capabilities.is_empty() {
        let words: Vec<String> = record.capabilities.iter().map(|c| format!("`{c}`")).collect();
        let _ = writeln!(page, "- promises: {}", words.join(", "));
    }
    for topology in [Topology::CNN, Topology::TRANSFORMER] {
        if entry.kind() == Kind::Blueprint && !record.topologies.is_empty() && entry.serves(topology) {
            costs(page, entry, topology);
        }
    }
    let settings = settings::of(entry.schema());
    if settings.is_empty() {
        page.push_str("- settings: none\n");
        return;
    }
    page.push_str("\n| setting | type | default | meaning |\n|---|---|---|---|\n");
    for setting in settings {
        let cell = |text: &str| text.replace('|', "\\|");
        let _ = writeln!(
            page,
            "| `{}` | {} | `{}` | {} |",
            setting.name,
            cell(&setting.kind),
            cell(&setting.default),
            cell(&setting.meaning)
        );
    }
}

fn costs(page: &mut String, entry: &Entry, topology: Topology) {
    let cost = |channels: i64| entry.cost(&Site::new(topology, channels), "").ok().flatten();
    let parameters = |channels: i64| cost(channels).map(|c| c.parameters);
    let multiply_adds = |channels: i64| cost(channels).map(|c| c.flops_per_position);
    for (name, of) in [
        ("parameters", &parameters as &dyn Fn(i64) -> Option<u64>),
        ("multiply-adds per position", &multiply_adds),
    ] {
        let Some(formula) = formula(of) else { continue };
        let at = |width: &i64| of(*width).map(|n| format!("{n} at {width}"));
        let widths: Vec<String> = WIDTHS.iter().filter_map(at).collect();
        let _ = writeln!(page, "- {name}: {formula} ({})", widths.join(", "));
    }
}

/// The polynomial of second degree that a count is, if it is one.
fn formula(of: &dyn Fn(i64) -> Option<u64>) -> Option<String> {
    let at = |n: i64| of(n * BASE).map(|v| v as f64);
    let (one, two, three, four) = (at(1)?, at(2)?, at(3)?, at(4)?);
    let square = 0.5 * (three - 2.0 * two + one);
    let linear = two - one - 3.0 * square;
    let constant = one - square - linear;
    if (16.0 * square + 4.0 * linear + constant - four).abs() > 1e-6 {
        return None;
    }
    let base = BASE as f64;
    let terms = [(square / (base * base), " C²"), (linear / base, " C"), (constant, "")];
    let mut text = String::new();
    for (factor, power) in terms {
        if factor.abs() < 1e-9 {
            continue;
        }
        let sign = match (text.is_empty(), factor < 0.0) {
            (true, false) => "",
            (true, true) => "-",
            (false, false) => " + ",
            (false, true) => " - ",
        };
        let _ = write!(text, "{sign}{}{power}", (factor.abs() * 1e6).round() / 1e6);
    }
    Some(if text.is_empty() { "0".to_owned() } else { text })
}

#[cfg(test)]
mod tests {
    use super::formula;

    #[test]
    fn a_polynomial_is_found_and_nothing_else_is() {
        let text = |of: fn(u64) -> u64| formula(&|n| Some(of(n.unsigned_abs())));
        assert_eq!(text(|c| 9 * c * c + 3 * c).as_deref(), Some("9 C² + 3 C"));
        assert_eq!(text(|c| c * c / 2 + 5 * c / 4 + 1).as_deref(), Some("0.5 C² + 1.25 C + 1"));
        assert_eq!(text(|c| 2 * c - 7).as_deref(), Some("2 C - 7"));
        assert_eq!(text(|_| 0).as_deref(), Some("0"));
        assert_eq!(text(|c| c * c * c), None);
        assert_eq!(formula(&|_| None), None);
    }
}
