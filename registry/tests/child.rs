//! Children that violate the protocol are reported in time, and leave no process behind.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed step is a failed test")]

use kasmina_registry::child::{Limits, Outcome, Program, run};
use serde_json::json;
use std::time::{Duration, Instant};

const LIMITS: Limits = Limits { time: Duration::from_secs(1), memory: 1 << 30 };
/// Longer than any of the tests takes, also on a loaded machine.
const LONG: Duration = Duration::from_secs(30);

/// Runs one job in a child that is a shell script.
fn outcome(script: &str) -> std::io::Result<Outcome> {
    let program = Program::new("/bin/sh", ["-c", script]).starting_within(Duration::from_secs(2));
    let begun = Instant::now();
    let mut outcome = None;
    let done = run(&program, &[json!("job")], LIMITS, &mut |_, reported| outcome = reported);
    assert!(begun.elapsed() < LONG, "{script}: {:?}", begun.elapsed());
    done.map(|()| outcome.unwrap())
}

fn crashed(script: &str) -> String {
    match outcome(script).unwrap() {
        Outcome::Crashed { how, .. } => how,
        other => panic!("{script}: {other:?}"),
    }
}

#[test]
fn a_child_that_closes_its_output_without_exiting_is_killed() {
    let how = crashed(r#"printf '\001kasmina "ready"\n'; exec >&- 2>&-; sleep 999"#);
    assert_eq!(how, "it closed its output without exiting, and was killed");
}

#[test]
fn a_second_ready_is_not_an_answer() {
    let how =
        crashed(r#"printf '\001kasmina "ready"\n'; read job; printf '\001kasmina "ready"\n'; sleep 999"#);
    assert_eq!(how, "it closed its output without exiting, and was killed");
}

#[test]
fn a_child_that_does_not_answer_times_out() {
    let outcome = outcome(r#"printf '\001kasmina "ready"\n'; sleep 999"#).unwrap();
    assert_eq!(outcome, Outcome::TimedOut { after: LIMITS.time });
}

#[test]
fn processes_that_a_child_starts_are_killed_with_it() {
    let folder = std::env::temp_dir().join(format!("kasmina-child-{}", std::process::id()));
    let script =
        format!(r#"sleep 999 & echo $! > {0}; printf '\001kasmina "ready"\n'; sleep 999"#, folder.display());
    outcome(&script).unwrap();
    let grandchild = std::fs::read_to_string(&folder).unwrap();
    std::fs::remove_file(&folder).unwrap();
    let begun = Instant::now();
    let path = format!("/proc/{}/cmdline", grandchild.trim());
    // A zombie has an empty command line.
    while std::fs::read(&path).is_ok_and(|line| !line.is_empty()) {
        assert!(begun.elapsed() < LONG, "process {} lives", grandchild.trim());
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_line_without_an_end_is_refused() {
    let error = outcome("exec cat /dev/zero").unwrap_err();
    assert!(error.to_string().contains("ended before it was ready"), "{error}");
}

#[test]
fn a_program_that_does_not_serve_is_reported_with_its_standard_error() {
    let error = outcome("echo no room >&2; exit 3").unwrap_err().to_string();
    assert!(error.contains("code 3") && error.contains("no room"), "{error}");
    let error = outcome("sleep 999").unwrap_err().to_string();
    assert_eq!(error, "it did not become ready");
}
