//! Reads criterion's results of the micro-benchmarks.

use crate::stopwatch::Row;
use anyhow::{Context as _, Result};
use serde::Deserialize;
use std::path::Path;

#[derive(Deserialize)]
struct Benchmark {
    group_id: String,
    function_id: Option<String>,
}

#[derive(Deserialize)]
struct Estimates {
    median: Estimate,
}

#[derive(Deserialize)]
struct Estimate {
    point_estimate: f64,
}

/// Reads the medians of the last run, in microseconds: one row for each function of each group.
pub(crate) fn read(criterion: &Path) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for group in folders(criterion)? {
        for function in folders(&group)? {
            let of = |file: &str| std::fs::read_to_string(function.join("new").join(file));
            let (Ok(benchmark), Ok(estimates)) = (of("benchmark.json"), of("estimates.json")) else {
                continue;
            };
            let place = || format!("in {}", function.display());
            let benchmark: Benchmark = serde_json::from_str(&benchmark).with_context(place)?;
            let estimates: Estimates = serde_json::from_str(&estimates).with_context(place)?;
            let us = vec![estimates.median.point_estimate / 1e3];
            let side = benchmark.function_id.unwrap_or_default();
            rows.push(Row { name: benchmark.group_id, side, us });
        }
    }
    Ok(rows)
}

/// Folders in a folder, sorted.
fn folders(dir: &Path) -> Result<Vec<std::path::PathBuf>> {
    let entries = std::fs::read_dir(dir).with_context(|| format!("reading {}", dir.display()))?;
    let mut all: Vec<_> = entries.flatten().map(|e| e.path()).filter(|p| p.is_dir()).collect();
    all.sort();
    Ok(all)
}
