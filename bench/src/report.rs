//! The report: measurements, their ratios with limits, and the comparison with an earlier report.

use crate::stopwatch::{Row, median};
use comfy_table::{CellAlignment, Table, presets};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// All measurements of one run.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Report {
    /// Models of GPU and processor, and number of cores. Only reports with the same value are comparable.
    machine: String,
    rows: Vec<Row>,
    figures: Vec<Figure>,
}

/// A figure that is derived from measurements and may have a limit.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Figure {
    name: String,
    value: f64,
    /// `x` for a ratio, `us` or `ns` for a time.
    unit: String,
    /// Half the interquartile range over rounds, relative to the median; 0 if it is not known.
    noise: f64,
    /// Largest allowed value.
    limit: Option<f64>,
}

/// A ratio to report: `side` over `of`, for all rows whose name ends with `ends`.
struct Ratio {
    ends: &'static str,
    side: &'static str,
    of: &'static str,
    limit: Option<f64>,
}

const fn ratio(ends: &'static str, side: &'static str, of: &'static str, limit: Option<f64>) -> Ratio {
    Ratio { ends, side, of, limit }
}

/// The ratios to report.
const RATIOS: [Ratio; 22] = [
    ratio("", "captured", "limit", None),
    ratio("", "eager", "bare", Some(1.03)),
    ratio("", "captured", "bare", None),
    ratio("", "captured", "pytorch eager", None),
    ratio("", "captured", "pytorch compile", None),
    ratio("cuda b128 fp32 3 training", "captured", "pytorch eager", Some(0.33)),
    ratio("cuda b512 fp32 3 training", "captured", "pytorch eager", Some(0.75)),
    ratio("cuda b512 bf16 3 training", "captured", "pytorch eager", Some(0.7)),
    ratio("", "generate", "transformers generate", Some(1.1)),
    ratio("", "folded", "by hand", Some(1.01)),
    ratio("", "exported", "by hand", None),
    ratio("small models", "eager, at once", "eager, in turn", None),
    ratio("small models", "captured, at once", "captured, in turn", None),
    ratio("small models", "captured, at once", "pytorch eager, in turn", None),
    ratio("small models", "captured, at once", "pytorch eager, at once", None),
    ratio("", "channels-last, 1 thread", "contiguous, 1 thread", None),
    ratio("", "channels-last, all cores", "channels-last, 1 thread", None),
    ratio("adamw, 18 tensors", "fused", "nn", Some(0.1)),
    ratio("sgd, 18 tensors", "fused", "nn", None),
    ratio("lerp", "blend", "bare", None),
    ratio("counterfactual, 3 seeds", "batched", "validation", None),
    ratio("gradient telemetry", "measured", "norms one by one", None),
];

/// Times to report, in microseconds: end of the row's name, side, and largest allowed value.
const TIMES: [(&str, &str, Option<f64>); 9] = [
    ("structure", "germinate, first", Some(30_000.0)),
    ("structure", "germinate", Some(30_000.0)),
    ("structure", "prune", Some(30_000.0)),
    ("plugins", "load one", Some(3_000.0)),
    ("plugins", "list 200", Some(100_000.0)),
    ("tap", "64 dormant", None),
    ("forward, 3 dormant", "model", None),
    ("change of structure", "germinate", None),
    ("change of structure", "prune", None),
];

impl Report {
    /// Computes the figures of the measurements.
    pub(crate) fn new(rows: Vec<Row>) -> Self {
        let figures = figures(&rows);
        Self { machine: machine(), rows, figures }
    }

    /// Compares the figures of this report with those of an earlier one.
    pub(crate) fn against(&self, before: &Self) -> Comparison {
        let old: BTreeMap<&str, &Figure> = before.figures.iter().map(|f| (f.name.as_str(), f)).collect();
        let pairs =
            self.figures.iter().filter_map(|now| Some((now.clone(), (*old.get(now.name.as_str())?).clone())));
        let machines =
            (self.machine != before.machine).then(|| (self.machine.clone(), before.machine.clone()));
        Comparison { pairs: pairs.collect(), machines }
    }
}

/// Computes all figures, sorted by name.
fn figures(rows: &[Row]) -> Vec<Figure> {
    let find = |name: &str, side: &str| rows.iter().find(|row| row.name == name && row.side == side);
    let mut names: Vec<&str> = rows.iter().map(|row| row.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    let mut all = Vec::new();
    for name in names {
        for ratio in RATIOS.iter().filter(|r| name.ends_with(r.ends)) {
            let (Some(side), Some(of)) = (find(name, ratio.side), find(name, ratio.of)) else { continue };
            all.push(quotient(format!("{name}: {} / {}", ratio.side, ratio.of), side, of, ratio.limit));
        }
        if let Some(alone) = name.strip_suffix("3 dormant").map(|start| format!("{start}alone"))
            && let (Some(side), Some(of)) = (find(name, "eager"), find(&alone, "eager"))
        {
            all.push(quotient(format!("{name} / alone"), side, of, Some(1.03)));
        }
        for (_, side, limit) in TIMES.iter().filter(|(ends, ..)| name.ends_with(ends)) {
            let Some(row) = find(name, side) else { continue };
            let (value, unit) = (row.median(), "us".to_owned());
            all.push(Figure {
                name: format!("{name}: {side}"),
                value,
                unit,
                noise: noise(&row.us),
                limit: *limit,
            });
        }
        if let (Some(ours), Some(naive), Some(carrier)) =
            (find(name, "zero-copy"), find(name, "naive"), find(name, "carrier"))
        {
            // The sum that starts the backward pass costs the same on both sides, so it is subtracted.
            let [ours, naive] = [ours, naive].map(|row| (row.median() - carrier.median()).max(0.0));
            let (name, unit) = (format!("{name}: zero-copy / naive"), "x".to_owned());
            all.push(Figure { name, value: ours / naive, unit, noise: 0.0, limit: Some(0.25) });
        }
        if let (Some(through), Some(direct)) =
            (find(name, "through the plugin interface"), find(name, "direct"))
        {
            let (value, unit) = ((through.median() - direct.median()) * 1e3, "ns".to_owned());
            all.push(Figure {
                name: format!("{name}: above a direct call"),
                value,
                unit,
                noise: 0.0,
                limit: Some(5.0),
            });
        }
    }
    // Two entries of `RATIOS` may yield the same figure; the one with a limit is kept.
    all.sort_by(|a, b| a.name.cmp(&b.name).then(b.limit.is_some().cmp(&a.limit.is_some())));
    all.dedup_by(|b, a| a.name == b.name);
    all
}

/// Ratio of two sides. If both ran in the same rounds it is the median of the ratios of each round, so that a
/// slow moment affects both sides.
fn quotient(name: String, side: &Row, of: &Row, limit: Option<f64>) -> Figure {
    let turns =
        !side.side.contains("pytorch") && !of.side.contains("pytorch") && side.us.len() == of.us.len();
    let (value, noise) = if turns {
        let ratios: Vec<f64> = side.us.iter().zip(&of.us).map(|(a, b)| a / b).collect();
        (median(&ratios), noise(&ratios))
    } else {
        (side.median() / of.median(), noise(&side.us).max(noise(&of.us)))
    };
    Figure { name, value, unit: "x".to_owned(), noise, limit }
}

/// Half the interquartile range, relative to the median.
fn noise(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = |share: f64| sorted.get((share * (sorted.len().saturating_sub(1)) as f64).round() as usize);
    match (at(0.25), at(0.75)) {
        (Some(low), Some(high)) => (high - low) / 2.0 / median(values),
        _ => 0.0,
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut by_name: BTreeMap<&str, Vec<&Row>> = BTreeMap::new();
        for row in &self.rows {
            by_name.entry(&row.name).or_default().push(row);
        }
        writeln!(f, "{}", self.machine)?;
        let mut times = new_table(&["BENCHMARK", "VARIANT", "MICROSECONDS", "±"]);
        for (name, rows) in by_name {
            for row in rows {
                let (us, noise) = (row.median(), noise(&row.us));
                let spread = if noise > 0.0 { format!("{:.0} %", noise * 100.0) } else { String::new() };
                times.add_row([name.to_owned(), row.side.clone(), number(us), spread]);
            }
        }
        writeln!(f, "{times}\n")?;
        let mut table = new_table(&["FIGURE", "", "±", "AT MOST", ""]);
        for figure in &self.figures {
            let verdict = figure.limit.map_or("", |limit| if figure.value <= limit { "ok" } else { "ABOVE" });
            table.add_row([
                figure.name.clone(),
                figure.text(),
                if figure.noise > 0.0 { format!("{:.0} %", figure.noise * 100.0) } else { String::new() },
                figure.limit.map_or_else(String::new, number),
                verdict.to_owned(),
            ]);
        }
        write!(f, "{table}")
    }
}

impl Figure {
    fn text(&self) -> String {
        if self.unit == "x" {
            format!("{:.3}", self.value)
        } else {
            format!("{} {}", number(self.value), self.unit)
        }
    }
}

fn number(value: f64) -> String {
    match value.abs() {
        v if v >= 100.0 => format!("{value:.0}"),
        v if v >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.4}"),
    }
}

/// A table without borders. All columns but the first and `VARIANT` are right-aligned.
fn new_table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header(header);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    for (name, column) in header.iter().zip(table.column_iter_mut()) {
        if *name == "VARIANT" {
            column.set_cell_alignment(CellAlignment::Left);
        }
    }
    table
}

/// Comparison of two reports.
pub(crate) struct Comparison {
    /// The figures that both reports have: of this one and of the earlier one.
    pairs: Vec<(Figure, Figure)>,
    /// The machines of both reports, if they differ.
    machines: Option<(String, String)>,
}

impl Comparison {
    /// Whether a figure is worse by more than 10 % and by more than twice the noise of both reports.
    fn is_figure_worse(now: &Figure, before: &Figure) -> bool {
        now.value > before.value * (1.0 + (2.0 * (now.noise + before.noise)).max(0.1))
    }

    /// Whether a figure is worse. Reports of different machines are not judged.
    pub(crate) fn is_worse(&self) -> bool {
        self.machines.is_none() && self.pairs.iter().any(|(now, before)| Self::is_figure_worse(now, before))
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((now, before)) = &self.machines {
            writeln!(f, "the machines differ, so nothing is judged: now {now}, before {before}")?;
        }
        let mut table = new_table(&["FIGURE", "NOW", "BEFORE", "CHANGE", ""]);
        for (now, before) in &self.pairs {
            let verdict =
                if self.machines.is_none() && Self::is_figure_worse(now, before) { "WORSE" } else { "" };
            let change = format!("{:+.0} %", (now.value / before.value - 1.0) * 100.0);
            table.add_row([now.name.clone(), now.text(), before.text(), change, verdict.to_owned()]);
        }
        write!(f, "{table}")
    }
}

/// Models of the GPU, if there is one, and of the processor, and number of cores.
fn machine() -> String {
    let field = |text: &str, name: &str| -> Option<String> {
        let line = text.lines().find(|line| line.trim_start().starts_with(name))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let cpu = field(&read("/proc/cpuinfo"), "model name").unwrap_or_else(|| "unknown processor".to_owned());
    let gpus = std::fs::read_dir("/proc/driver/nvidia/gpus").into_iter().flatten().flatten();
    let gpu = gpus
        .map(|gpu| gpu.path().join("information"))
        .find_map(|path| field(&std::fs::read_to_string(path).ok()?, "Model"));
    let gpu = gpu.map_or_else(String::new, |gpu| format!("{gpu}, "));
    format!("{gpu}{cpu}, {cores} cores")
}

#[cfg(test)]
mod tests {
    use super::{Figure, Report};
    use crate::stopwatch::Row;

    fn row(name: &str, side: &str, us: &[f64]) -> Row {
        Row { name: name.into(), side: side.into(), us: us.into() }
    }

    fn figure<'r>(report: &'r Report, name: &str) -> &'r Figure {
        report.figures.iter().find(|f| f.name == name).unwrap()
    }

    #[test]
    fn ratios_are_taken_round_by_round() {
        // The second round was slow for both.
        let report =
            Report::new(vec![row("a", "eager", &[2.0, 20.0, 2.2]), row("a", "bare", &[2.0, 20.0, 2.0])]);
        assert_eq!(figure(&report, "a: eager / bare").value, 1.0);
    }

    #[test]
    fn of_two_equal_ratios_the_one_with_a_limit_is_kept() {
        let name = "cuda b512 bf16 3 training";
        let report = Report::new(vec![row(name, "captured", &[6.0]), row(name, "pytorch eager", &[10.0])]);
        assert_eq!(report.figures.len(), 1);
        assert_eq!(figure(&report, &format!("{name}: captured / pytorch eager")).limit, Some(0.7));
    }

    #[test]
    fn a_run_is_worse_beyond_noise_and_on_the_same_machine_only() {
        let run =
            |us: &[f64]| Report::new(vec![row("a", "eager", us), row("a", "bare", &[1.0, 1.0, 1.0, 1.0])]);
        let before = run(&[1.0, 1.0, 1.0, 1.0]);
        assert!(!run(&[1.05, 1.05, 1.05, 1.05]).against(&before).is_worse());
        assert!(run(&[1.2, 1.2, 1.2, 1.2]).against(&before).is_worse());
        assert!(!run(&[0.8, 0.9, 1.2, 1.3]).against(&before).is_worse());
        let mut elsewhere = run(&[1.2, 1.2, 1.2, 1.2]);
        elsewhere.machine = "another".into();
        assert!(!elsewhere.against(&before).is_worse());
    }
}
