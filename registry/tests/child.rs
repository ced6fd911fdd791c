//! Children that do not keep to the protocol: their parent hears of it in time, and nothing of them is left.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed step is a failed test")]

use kasmina_registry::child::{Limits, Outcome, Program, run};
use serde_json::json;
use std::time::{Duration, Instant};

const LIMITS: Limits = Limits { time: Duration::from_secs(1), memory: 1 << 30 };
/// More than any of them may take, on a loaded machine too.
const LONG: Duration = Duration::from_secs(30);

/// What one job comes to in a child that is a shell script.
fn outcome(script: &str) -> std::io::Result<Outcome> {
    let program = Program::new("/bin/sh", ["-c", script]).starting_within(Duration::from_secs(2));
    let begun = Instant::now();
    let mut outcome = None;
    let done = run(&program, &[json!("job")], LIMITS, &mut |_, told| outcome = told);
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
fn a_child_that_closes_its_output_and_goes_on_is_ended() {
    let how = crashed(r#"printf '\001kasmina "ready"\n'; exec >&- 2>&-; sleep 999"#);
    assert_eq!(how, "it closed its output and went on; it was ended");
}

#[test]
fn a_second_ready_is_no_answer() {
    let how =
        crashed(r#"printf '\001kasmina "ready"\n'; read job; printf '\001kasmina "ready"\n'; sleep 999"#);
    assert_eq!(how, "it closed its output and went on; it was ended");
}

#[test]
fn a_child_that_answers_nothing_is_ended_in_time() {
    let outcome = outcome(r#"printf '\001kasmina "ready"\n'; sleep 999"#).unwrap();
    assert_eq!(outcome, Outcome::TimedOut { after: LIMITS.time });
}

#[test]
fn what_a_child_starts_ends_with_it() {
    let folder = std::env::temp_dir().join(format!("kasmina-child-{}", std::process::id()));
    let script =
        format!(r#"sleep 999 & echo $! > {0}; printf '\001kasmina "ready"\n'; sleep 999"#, folder.display());
    outcome(&script).unwrap();
    let grandchild = std::fs::read_to_string(&folder).unwrap();
    std::fs::remove_file(&folder).unwrap();
    let begun = Instant::now();
    let path = format!("/proc/{}/cmdline", grandchild.trim());
    // One that has ended and was not waited for has no command line.
    while std::fs::read(&path).is_ok_and(|line| !line.is_empty()) {
        assert!(begun.elapsed() < LONG, "process {} lives", grandchild.trim());
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_line_without_an_end_is_not_kept() {
    let error = outcome("exec cat /dev/zero").unwrap_err();
    assert!(error.to_string().contains("ended before it began to serve"), "{error}");
}

#[test]
fn a_program_that_does_not_serve_is_told_with_its_last_words() {
    let error = outcome("echo no room >&2; exit 3").unwrap_err().to_string();
    assert!(error.contains("code 3") && error.contains("no room"), "{error}");
    let error = outcome("sleep 999").unwrap_err().to_string();
    assert_eq!(error, "it does not begin to serve");
}
