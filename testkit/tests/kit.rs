//! Runs the checks on plugins that break promises: exactly the broken promises must be reported.

#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]

use kasmina_registry::child::Program;
use kasmina_testkit::{CheckError, Options, Report, Row, Verdict, check_file, checks};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The child process of the checks: this test executable.
#[test]
fn conformance_child() {
    kasmina_testkit::conformance::child();
}

fn program() -> Program {
    kasmina_testkit::conformance::program(module_path!())
}

fn fixture(name: &str) -> PathBuf {
    let exe = std::env::current_exe().unwrap();
    let path = exe.ancestors().nth(2).unwrap().join(format!("examples/libchecked_{name}.so"));
    assert!(path.is_file(), "{} does not exist: `cargo test` without `--test` builds it", path.display());
    path
}

fn options(entries: &[&str]) -> Options {
    let mut options = Options::default();
    options.entries = entries.iter().map(|id| (*id).to_owned()).collect();
    // A check of a good entry takes at most a second; a busy machine may take longer.
    options.limits.time = Duration::from_mins(1);
    options
}

fn check(name: &str, options: &Options) -> Report {
    check_file(&fixture(name), &program(), options).unwrap()
}

/// Returns the failed rows, without times and commands.
fn failures(report: &Report) -> String {
    let line = |row: &Row| format!("{}: {} {}: {}\n", row.entry, row.check, row.result.as_str(), row.detail);
    report.failures().map(line).collect()
}

/// Replaces numbers that differ between machines in the snapshots of `body`.
fn without_numbers<T>(body: impl FnOnce() -> T) -> T {
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(r"\d+\.\d{3}e-?\d+", "[number]");
    settings.add_filter(r"-?\d+\.\d{3} to -?\d+\.\d{3}", "[number] to [number]");
    settings.add_filter(r"\d+ KiB", "[size] KiB");
    settings.add_filter(r"takes \d+\.\d+ s", "takes [time] s");
    settings.bind(body)
}

#[test]
fn faulty_seeds_fail_their_checks_and_no_other() {
    let report = check("seeds", &options(&[]));
    without_numbers(|| insta::assert_snapshot!(failures(&report)));
}

#[test]
fn faulty_configurations_fail_their_checks() {
    without_numbers(|| insta::assert_snapshot!(failures(&check("configs", &options(&[])))));
}

#[test]
fn faulty_blends_fail_their_checks() {
    let report = check("blends", &options(&[]));
    without_numbers(|| insta::assert_snapshot!(failures(&report)));
    let wavy = report.rows.iter().find(|row| row.entry == "blend wavy" && row.check == "curve").unwrap();
    assert_eq!(wavy.result, Verdict::Pass);
    assert!(wavy.detail.starts_with("warning: the curve falls between"), "{}", wavy.detail);
}

#[test]
fn faulty_hosts_fail_their_checks() {
    without_numbers(|| insta::assert_snapshot!(failures(&check("hosts", &options(&[])))));
}

#[test]
fn changes_of_the_process_are_reported() {
    without_numbers(|| insta::assert_snapshot!(failures(&check("neighbours", &options(&[])))));
}

#[test]
fn a_crash_or_hang_is_a_row_of_the_report() {
    let mut options = options(&["segfaults", "gorges", "exits"]);
    let mut text = failures(&check("deadly", &options));
    options.entries = vec!["loops".to_owned()];
    options.limits.time = Duration::from_secs(10);
    let report = check("deadly", &options);
    text += &failures(&report);
    insta::assert_snapshot!(text);
    // Later checks are skipped after a time-out, so that an endless loop costs only one time limit.
    assert_eq!(report.count(Verdict::TimedOut), 1);
    assert!(report.count(Verdict::Skipped) > 10);
}

#[test]
fn every_check_fails_for_some_fixture() {
    // Reads the snapshots instead of running the checks again.
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots");
    let text: String = std::fs::read_dir(folder)
        .unwrap()
        .map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap())
        .collect();
    let missing: Vec<&str> = checks()
        .iter()
        .map(|check| check.name)
        .filter(|name| {
            !["fail", "crashed", "timed_out"].iter().any(|how| text.contains(&format!(": {name} {how}:")))
        })
        .collect();
    // The tests of the registry cover files whose records and code disagree; the tests of exports, which have
    // a Python with PyTorch, cover wrong sources.
    assert_eq!(missing, ["listing", "pytorch"]);
}

#[test]
fn a_seed_gives_the_same_report_again() {
    let mut options = options(&["false_identity"]);
    options.only = vec!["identity_at_birth".to_owned()];
    options.seed = 77;
    let (first, again) = (check("seeds", &options), check("seeds", &options));
    assert_eq!(first.rows[0].detail, again.rows[0].detail);
    assert_eq!(first.rows.len(), 1);
    assert!(first.rows[0].reproduce.ends_with("--only identity_at_birth --seed 77"), "{:?}", first.rows[0]);
}

#[test]
fn unknown_names_are_errors_that_list_the_known_ones() {
    let mut unknown = options(&[]);
    unknown.only = vec!["speed".to_owned()];
    let error = check_file(&fixture("good"), &program(), &unknown).unwrap_err();
    assert!(matches!(error, CheckError::UnknownCheck { .. }), "{error}");
    assert!(error.to_string().contains("no check is named `speed`; there are listing, schema, "), "{error}");
    let error = check_file(&fixture("good"), &program(), &options(&["better"])).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the plugin has no entry `better`; it has blend good, blueprint good, host good"
    );
    let error = check_file(Path::new("/nowhere/lib.so"), &program(), &options(&[])).unwrap_err();
    assert!(matches!(error, CheckError::Refused(_)), "{error}");
}

#[test]
fn the_shipped_plugins_pass_every_check() {
    let deps = std::env::current_exe().unwrap().parent().unwrap().to_owned();
    let shipped =
        ["kasmina_blends", "kasmina_blueprints_cnn", "kasmina_blueprints_transformer", "kasmina_hosts"];
    for name in shipped {
        let report = check_file(&deps.join(format!("lib{name}.so")), &program(), &options(&[])).unwrap();
        assert!(report.passed(), "{report}");
    }
}

#[test]
fn a_good_plugin_passes_every_check() {
    let report = check("good", &options(&[]));
    let text = report.to_string();
    assert!(report.passed(), "{text}");
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(r"\([0-9a-f]{12}\)", "([hash])");
    settings.add_filter(r" {2,}\d+\.\d\d(  |\n)", "  [time]$1");
    settings.bind(|| insta::assert_snapshot!(text));
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["rows"][0]["result"], "pass");
    assert_eq!(json["rows"][0]["entry"], "plugin");
}

#[test]
fn an_entry_that_needs_settings_is_skipped_without_them() {
    let mut options = options(&["needs"]);
    options.only = vec!["build".to_owned(), "forward".to_owned()];
    let report = check("configs", &options);
    assert!(report.passed() && report.count(Verdict::Skipped) == 2, "{report}");
    assert!(report.rows[0].detail.contains("which layers?"), "{report}");
    options.configs.insert("blueprint needs".to_owned(), r#"{"layers":["conv"]}"#.to_owned());
    let report = check("configs", &options);
    assert_eq!(report.count(Verdict::Pass), 2, "{report}");
}
