//! Compares the outputs of exported networks in Python (the generated file, transformers, TorchScript, ONNX)
//! with Kasmina's.

use crate::structures::{BLENDS, Case, HOSTS};
use kasmina_tests::python::python;
use kasmina_tests::say;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;

/// Largest accepted difference of outputs in PyTorch, relative to the largest output.
const TOLERANCE: f64 = 1e-5;
/// Largest accepted difference of outputs in onnxruntime, relative to the largest output.
const ONNX_TOLERANCE: f64 = 1e-4;

/// Differences between one network's outputs in Python and in Kasmina, relative to the largest output.
#[derive(Debug, Deserialize)]
struct Row {
    name: String,
    /// Of the networks that `kasmina eval` computes with, of the run and of the export.
    #[serde(default)]
    eval: f64,
    /// Of the generated file, imported by itself.
    file: f64,
    /// Of the model that transformers loads.
    transformers: f64,
    /// Of the TorchScript export.
    torchscript: f64,
    /// Of the ONNX export in onnxruntime; only for networks with a gate, because each export takes seconds.
    onnx: Option<f64>,
    /// Whether the largest value of each output has the same index.
    same_argmax: bool,
}

/// Exports networks and compares them in one Python process. Returns `None` without Python packages.
fn compare(cases: &[Case], test: &str) -> Option<Vec<Row>> {
    let mut python = python(test)?;
    let home = tempfile::tempdir().unwrap();
    let registry = kasmina_tests::registry(&[]);
    let of_eval: BTreeMap<&str, f64> =
        cases.iter().map(|case| (case.name.as_str(), case.export(home.path(), &registry))).collect();
    python.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/export/compare.py")).arg(home.path());
    python.env("HOME", home.path());
    let out = python.output().unwrap();
    let stderr = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{stderr}");
    let mut rows: Vec<Row> = serde_json::from_slice(&out.stdout).unwrap();
    assert_eq!(rows.len(), cases.len());
    for row in &mut rows {
        row.eval = of_eval[row.name.as_str()];
    }
    Some(rows)
}

/// Prints every row and checks it against the tolerances.
fn check(rows: &[Row]) {
    for row in rows {
        let onnx = row.onnx.map_or_else(|| "-".to_owned(), |error| format!("{error:.1e}"));
        say(&format!(
            "{:<32} eval {:.1e}  file {:.1e}  transformers {:.1e}  torchscript {:.1e}  onnx {onnx}",
            row.name, row.eval, row.file, row.transformers, row.torchscript
        ));
    }
    for row in rows {
        assert!(
            [row.file, row.transformers, row.torchscript].iter().all(|error| *error <= TOLERANCE),
            "{row:?}"
        );
        assert!(row.onnx.is_none_or(|error| error <= ONNX_TOLERANCE), "{row:?}");
        assert!(row.same_argmax, "{row:?}");
    }
}

/// Every host with three seeds, under each mixing operator of the blends.
#[test]
fn every_host_computes_the_same_in_python() {
    let cases: Vec<Case> = HOSTS
        .iter()
        .flat_map(|host| {
            ["linear", "gated", "per_channel", "multiply"].into_iter().enumerate().map(move |(at, blend)| {
                Case {
                    name: format!("{}-{blend}", host.id),
                    host,
                    blend,
                    alpha: if at == 0 { 1.0 } else { 0.7 },
                    seeds: host
                        .slots
                        .iter()
                        .zip(host.blueprints.iter().skip(at))
                        .map(|(s, b)| (*s, *b))
                        .collect(),
                }
            })
        })
        .collect();
    if let Some(rows) = compare(&cases, "every_host_computes_the_same_in_python") {
        check(&rows);
    }
}

/// A network with a random host, blend and alpha, and a random blueprint in some of the slots.
fn any_case() -> impl Strategy<Value = Case> {
    let seeds = prop::collection::vec(prop::option::weighted(0.75, any::<Index>()), 3);
    let alpha = select(vec![1.0, 0.9, 0.5, 0.1]);
    (0..HOSTS.len(), select(&BLENDS[..]), alpha, seeds).prop_map(|(host, blend, alpha, seeds)| {
        let host = &HOSTS[host];
        let in_slot =
            |(slot, index): (&&'static str, Option<Index>)| Some((*slot, *index?.get(host.blueprints)));
        let seeds = host.slots.iter().zip(seeds).filter_map(in_slot).collect();
        Case { name: String::new(), host, blend, alpha, seeds }
    })
}

/// Fifty networks of random structure.
#[test]
fn random_structures_compute_the_same_in_python() {
    let mut runner = TestRunner::deterministic();
    let cases: Vec<Case> = (0..50)
        .map(|number| {
            let case = any_case().new_tree(&mut runner).unwrap().current();
            Case { name: format!("{number:02}-{}-{}", case.host.id, case.blend), ..case }
        })
        .collect();
    if let Some(rows) = compare(&cases, "random_structures_compute_the_same_in_python") {
        check(&rows);
    }
}
