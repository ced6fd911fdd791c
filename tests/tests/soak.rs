//! A default run of a hundred epochs: fossilized seeds have alpha 1, isolation holds, and memory does not
//! grow.

use kasmina::lifecycle::{Event, EventKind, Stage};
use kasmina_tests::{registry, runs};
use kasmina_torch_ext::memory::MemoryCounter;
use kasmina_trainer::run::{EpochReport, Observer, Status};
use kasmina_trainer::{RunConfig, Trainer};
use serde_json::json;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::AtomicBool;

const EPOCHS: u32 = 100;

/// Collects memory use, isolation checks and reports over the run.
struct Soak {
    memory: MemoryCounter,
    /// Live bytes at the end of each epoch, and whether the structure changed in it.
    bytes: Vec<(i64, bool)>,
    changed: bool,
    reports: Vec<EpochReport>,
    checks: u32,
    violations: u32,
    unhealthy: u32,
}

impl Observer for Soak {
    fn epoch(&mut self, report: &EpochReport, _: u32) {
        let captures = report.slots.values().flat_map(|s| &s.inputs.gradients);
        self.violations += captures.filter(|c| c.violation).count() as u32;
        self.checks += report.slots.values().map(|s| s.inputs.isolation_checks).sum::<u32>();
        self.bytes.push((self.memory.read().unwrap().live_bytes, std::mem::take(&mut self.changed)));
        self.reports.push(report.clone());
    }
    fn event(&mut self, _: u32, event: &Event) {
        match event.kind {
            EventKind::SeedGerminated { .. } | EventKind::SeedPruned { .. } => self.changed = true,
            EventKind::SeedHealth { healthy: false, .. } => self.unhealthy += 1,
            _ => {}
        }
    }
}

#[test]
fn a_default_run_of_a_hundred_epochs_is_stable() {
    let config = RunConfig {
        epochs: EPOCHS,
        isolation_check_interval: 5,
        fail_on_breach: true,
        device: "cpu".into(),
        ..RunConfig::default()
    };
    let registry = registry(&[]);
    let memory = MemoryCounter::start().unwrap();
    let trainer = Trainer::prepare(config, &registry).unwrap();
    let (bytes, reports) = (Vec::new(), Vec::new());
    let mut soak = Soak { memory, bytes, changed: false, reports, checks: 0, violations: 0, unhealthy: 0 };
    let summary = trainer.run(None, &mut soak, &AtomicBool::new(false)).unwrap();

    let last = soak.reports.last().unwrap();
    let mut text = String::new();
    let _ = writeln!(text, "epochs               {} ({:?})", summary.epochs, summary.status);
    let _ = writeln!(
        text,
        "accuracy             {:.2} %, best {:.2} %",
        last.val_accuracy,
        summary.best_val_accuracy.unwrap()
    );
    let _ = writeln!(
        text,
        "seeds                {} germinated, {} fossilized, {} pruned",
        summary.germinated, summary.fossilized, summary.pruned
    );
    for (slot, row) in &last.slots {
        let _ = writeln!(text, "{slot:<20} {} alpha {}", row.stage, row.alpha);
    }
    let _ = writeln!(text, "isolation violations {} in {} shadow checks", soak.violations, soak.checks);
    let _ = writeln!(text, "unhealthy seeds      {}", soak.unhealthy);
    let _ = writeln!(text, "skipped steps        {:?}", summary.skipped_steps);
    for epoch in [1, 25, 50, 75, 100] {
        let _ = writeln!(text, "tensor bytes         {:>9} after epoch {epoch}", soak.bytes[epoch - 1].0);
    }
    println!("{text}");
    let stages: BTreeMap<_, _> = last
        .slots
        .iter()
        .map(|(slot, row)| (slot, json!({ "stage": row.stage, "alpha": row.alpha })))
        .collect();
    runs::write_report(
        "seed_soak_summary.json",
        &json!({
            "epochs": summary.epochs,
            "status": summary.status,
            "accuracy": last.val_accuracy,
            "best_accuracy": summary.best_val_accuracy,
            "germinated": summary.germinated,
            "fossilized": summary.fossilized,
            "pruned": summary.pruned,
            "slots": stages,
            "isolation_checks": soak.checks,
            "isolation_violations": soak.violations,
            "unhealthy_seeds": soak.unhealthy,
            "skipped_steps": summary.skipped_steps,
            "tensor_bytes_after_each_epoch": soak.bytes.iter().map(|(bytes, _)| bytes).collect::<Vec<_>>(),
        }),
    );

    assert_eq!((summary.status, summary.epochs), (Status::Completed, EPOCHS));
    assert!(summary.fossilized >= 1);
    for (slot, row) in &last.slots {
        assert!(
            row.stage != Stage::Fossilized || row.alpha.to_bits() == 1.0_f64.to_bits(),
            "{slot}: {row:?}"
        );
    }
    assert!(last.slots.values().any(|row| row.stage == Stage::Fossilized));
    assert_eq!((soak.violations, soak.unhealthy, summary.skipped_steps.len()), (0, 0, 0));
    assert!(soak.checks >= 20, "{} shadow checks", soak.checks);
    assert!(soak.reports.iter().all(|r| r.train_loss.is_finite() && r.val_loss.is_finite()));
    // In an epoch without a germination or a prune, tensor memory does not change.
    let mut compared = 0;
    for pair in soak.bytes.windows(2) {
        if !pair[1].1 && !pair[0].1 {
            assert_eq!(pair[0].0, pair[1].0, "{:?}", soak.bytes);
            compared += 1;
        }
    }
    assert!(compared >= 60, "only {compared} epochs without a change of structure");
}
