//! Signals, locks, full disks and kills of a process that trains.

use crate::home::Home;
use crate::live::{Live, signal, start, until};
use kasmina_checkpoint::Checkpoint;
use kasmina_tests::{runs, shell::in_shell};
use serde_json::Value;
use std::os::unix::process::ExitStatusExt as _;
use std::process::Stdio;
use std::time::Duration;

#[test]
fn a_signal_lets_the_step_finish_and_saves_it() {
    for (name, args, code) in
        [("TERM", &[][..], 143), ("INT", &[], 130), ("USR1", &[], 130), ("USR1", &["--requeue-exit-0"], 0)]
    {
        let home = Home::empty();
        let mut live = start(&home, args);
        signal(&live, name);
        assert_eq!(live.0.wait().unwrap().code(), Some(code), "{name} {args:?}");
        let summary: Value =
            serde_json::from_str(&std::fs::read_to_string(home.path("run/summary.json")).unwrap()).unwrap();
        assert_eq!(summary["status"], "interrupted");
        let checkpoint = Checkpoint::read(&home.newest("run")).unwrap();
        let rows = runs::lines(&home.path("run/metrics.jsonl")).len();
        assert_eq!(
            checkpoint.about.epoch as usize, rows,
            "the last state is saved, even between scheduled checkpoints"
        );
        let epochs = (rows + 2).to_string();
        let (_, error, code) = home.resume(&["--epochs", &epochs]);
        assert_eq!(code, Some(0), "{error}");
    }
}

/// The process exits without destructors while threads still run, without a last checkpoint and without a
/// crash.
#[test]
fn a_second_signal_ends_the_process_at_once() {
    let home = Home::empty();
    let mut command =
        home.command(&["train", "--config", "config.toml", "--out", "run", "--epochs", "100000"]);
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    let mut live = Live(command.spawn().unwrap());
    until("the first epochs", || {
        std::fs::read_to_string(home.path("run/metrics.jsonl")).is_ok_and(|t| t.lines().count() > 2)
    });
    // Both signals are delivered when the process continues, before it can end its step. Two threads of the
    // process may take them, so either can be the first.
    for name in ["STOP", "INT", "TERM", "CONT"] {
        signal(&live, name);
    }
    let mut stderr = String::new();
    std::io::Read::read_to_string(&mut live.0.stderr.take().unwrap(), &mut stderr).unwrap();
    assert!(matches!(live.0.wait().unwrap().code(), Some(130 | 143)), "{stderr}");
    let last = stderr.lines().last().unwrap_or_default();
    assert_eq!(last, "stopping after this step; once more to stop at once");
    assert!(!home.path("run/summary.json").exists());
}

#[test]
fn a_signal_that_was_ignored_stays_ignored() {
    let home = Home::empty();
    let train = home.command(&["train", "--config", "config.toml", "--out", "run", "--epochs", "100000"]);
    let mut shell = in_shell(&train, "trap '' HUP; exec \"$@\"", &[]);
    shell.stdout(Stdio::null()).stderr(Stdio::null());
    let mut live = Live(shell.spawn().unwrap());
    let epochs =
        || std::fs::read_to_string(home.path("run/metrics.jsonl")).map_or(0, |text| text.lines().count());
    until("the first epochs", || epochs() > 2);
    signal(&live, "HUP");
    let then = epochs();
    until("more epochs", || epochs() > then + 3);
    assert!(live.0.try_wait().unwrap().is_none(), "the run continues");
    signal(&live, "TERM");
    assert_eq!(live.0.wait().unwrap().code(), Some(143));
}

#[test]
fn a_second_process_is_refused_with_the_id_of_the_first() {
    let home = Home::empty();
    let live = start(&home, &[]);
    let (_, error, code) = home.resume(&[]);
    assert_eq!(code, Some(1));
    assert!(error.contains(&format!("process {} on ", live.0.id())), "{error}");
}

#[test]
fn a_full_disk_pauses_saving_and_loses_nothing() {
    use rustix::process::{Pid, Resource, Rlimit, prlimit};
    let home = Home::empty();
    let train = home.command(&["train", "--config", "config.toml", "--out", "run", "--epochs", "100000"]);
    let mut shell = in_shell(&train, "trap '' XFSZ; exec \"$@\"", &[]);
    shell.stdout(Stdio::null()).stderr(Stdio::piped());
    let mut live = Live(shell.spawn().unwrap());
    let epochs =
        || std::fs::read_to_string(home.path("run/metrics.jsonl")).map_or(0, |text| text.lines().count());
    let saved = || {
        kasmina_checkpoint::list(&home.path("run/checkpoints"))
            .unwrap()
            .last()
            .map(kasmina_checkpoint::Listed::name)
    };
    // Standard error goes into a pipe, because a file could not grow either.
    let mut stderr = live.0.stderr.take().map(StderrReader::start).unwrap();
    until("the first epochs", || epochs() > 2);
    // From here on no file can grow, as on a full disk.
    let pid = Pid::from_raw(live.0.id().try_into().unwrap());
    let limit = |bytes| prlimit(pid, Resource::Fsize, Rlimit { current: bytes, maximum: None }).unwrap();
    limit(Some(0));
    until("the warning about the journal", || {
        stderr.times("metrics.jsonl cannot be written; its lines are kept in memory") > 0
    });
    until("the warning about checkpoints", || {
        stderr.times("no checkpoint can be saved until this is fixed; training continues") > 0
    });
    let (then, checkpoint) = (epochs(), saved());
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!((epochs(), saved()), (then, checkpoint.clone()), "nothing is written");
    assert!(live.0.try_wait().unwrap().is_none(), "the run continues");
    limit(None);
    until("the journal continues", || epochs() > then + 3);
    until("saving continues", || saved() != checkpoint);
    signal(&live, "TERM");
    assert_eq!(live.0.wait().unwrap().code(), Some(143));
    assert_eq!(stderr.times("no checkpoint can be saved"), 1, "the warning is printed once");
    let rows = runs::lines(&home.path("run/metrics.jsonl"));
    assert!(rows.iter().zip(1_u64..).all(|(row, epoch)| row["epoch"] == epoch), "no line is lost");
    let left = std::fs::read_dir(home.path("run/checkpoints")).unwrap().map(|e| e.unwrap().file_name());
    assert!(
        left.into_iter().all(|name| name.to_string_lossy().starts_with("step-")),
        "nothing half-written is left"
    );
    let (_, error, code) = home.resume(&["--epochs", &(rows.len() + 1).to_string()]);
    assert_eq!(code, Some(0), "{error}");
}

/// Reads the standard error of a process on a thread.
struct StderrReader(std::sync::Arc<std::sync::Mutex<String>>);

impl StderrReader {
    fn start(pipe: std::process::ChildStderr) -> Self {
        use std::io::BufRead as _;
        let text = std::sync::Arc::new(std::sync::Mutex::new(String::new()));
        let into = std::sync::Arc::clone(&text);
        std::thread::spawn(move || {
            for line in std::io::BufReader::new(pipe).lines().map_while(Result::ok) {
                into.lock().unwrap().push_str(&format!("{line}\n"));
            }
        });
        Self(text)
    }

    /// Number of occurrences of a text so far.
    fn times(&mut self, text: &str) -> usize {
        self.0.lock().unwrap().matches(text).count()
    }
}

#[test]
fn a_kill_in_the_middle_of_writing_leaves_the_checkpoint_before() {
    let home = Home::empty();
    home.configure("[checkpoint]\nevery_steps = 1\nkeep = 2\n");
    for _ in 0..6 {
        let _ = std::fs::remove_dir_all(home.path("run"));
        let mut live = start(&home, &[]);
        live.0.kill().unwrap();
        assert_eq!(live.0.wait().unwrap().signal(), Some(9));
        for path in home.checkpoints("run") {
            kasmina_checkpoint::verify(&path).unwrap();
        }
        let rows = runs::lines(&home.path("run/metrics.jsonl")).len();
        let epochs = (rows + 1).to_string();
        let (_, error, code) = home.resume(&["--epochs", &epochs]);
        assert_eq!(code, Some(0), "{error}");
        let left = std::fs::read_dir(home.path("run/checkpoints")).unwrap().map(|e| e.unwrap().file_name());
        assert!(
            left.into_iter().all(|name| name.to_string_lossy().starts_with("step-")),
            "nothing half-written is left"
        );
    }
}
