//! Run directories that contain files or links already, and the limits of a run's control socket.

use kasmina_tests::{kasmina, output};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const TIMEOUT: Duration = Duration::from_mins(1);

fn train(home: &Path, epochs: u32) -> Command {
    let mut command = kasmina(home);
    command.args(["train", "--no-seeds", "--epochs", &epochs.to_string(), "--out", "run"]);
    command
}

#[test]
fn an_existing_file_stops_a_new_run_and_stays_as_it_is() {
    for name in ["metrics.jsonl", "events.jsonl", "commands.jsonl", "control.jsonl", "slots.json"] {
        let home = tempfile::tempdir().unwrap();
        let run = home.path().join("run");
        std::fs::create_dir(&run).unwrap();
        let precious = home.path().join("precious");
        std::fs::write(&precious, "precious").unwrap();
        std::os::unix::fs::symlink(&precious, run.join(name)).unwrap();
        let (_, error, code) = output(train(home.path(), 1));
        assert_eq!(code, Some(1), "{name}: {error}");
        assert!(error.contains(&format!("it already contains a {name}")), "{error}");
        assert_eq!(std::fs::read_to_string(&precious).unwrap(), "precious");
        assert!(run.join(name).is_symlink());
        assert!(!run.join("config.toml").exists(), "a refused run leaves no configuration behind");
        std::fs::remove_file(run.join(name)).unwrap();
        assert_eq!(output(train(home.path(), 1)).2, Some(0));
    }
}

#[test]
fn a_run_without_a_socket_trains() {
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(home.path().join("run/control.sock")).unwrap();
    let (_, error, code) = output(train(home.path(), 1));
    assert_eq!(code, Some(0), "{error}");
    assert!(error.contains("the run cannot be controlled while it trains"), "{error}");
}

/// Starts a run in the background and connects a client to its socket.
fn live(home: &Path, epochs: u32) -> (Child, UnixStream) {
    let mut command = train(home, epochs);
    let begun = Instant::now();
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    while begun.elapsed() < TIMEOUT {
        if let Ok(stream) = UnixStream::connect(home.join("run/control.sock")) {
            return (child, stream);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    panic!("the run does not listen");
}

/// A client that sends a byte now and then does not extend its time limit, nor delay the end of the run.
#[test]
fn a_slow_client_does_not_hold_a_run() {
    let home = tempfile::tempdir().unwrap();
    let (mut child, mut client) = live(home.path(), 4);
    let begun = Instant::now();
    let code = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status.code();
        }
        let _ = client.write_all(b" ");
        assert!(begun.elapsed() < TIMEOUT, "the client delays the end of the run");
        std::thread::sleep(Duration::from_millis(100));
    };
    assert_eq!(code, Some(0));
    assert!(home.path().join("run/summary.json").exists());
}

#[test]
fn clients_beyond_the_limit_are_refused() {
    let home = tempfile::tempdir().unwrap();
    let (mut child, first) = live(home.path(), 200);
    let path = home.path().join("run/control.sock");
    let mut idle = vec![first];
    for _ in 0..30 {
        idle.push(UnixStream::connect(&path).unwrap());
    }
    let last = UnixStream::connect(&path).unwrap();
    let mut answer = String::new();
    BufReader::new(&last).read_line(&mut answer).unwrap();
    assert!(answer.contains("16 clients are connected already"), "{answer}");
    drop(idle);
    // When these clients have left, requests are answered again.
    let begun = Instant::now();
    loop {
        let mut command = kasmina(home.path());
        command.args(["control", "run", "stop"]);
        if output(command).2 == Some(0) {
            break;
        }
        assert!(begun.elapsed() < TIMEOUT, "no client is served any more");
    }
    child.wait().unwrap();
    assert!(home.path().join("run/summary.json").exists());
}

#[test]
fn a_prune_in_a_run_without_seeds_is_refused_at_once() {
    let home = tempfile::tempdir().unwrap();
    let (mut child, _) = live(home.path(), 200);
    let mut command = kasmina(home.path());
    command.args(["control", "run", "prune", "early"]);
    let (_, error, code) = output(command);
    assert_eq!(code, Some(1), "{error}");
    assert!(error.contains("the run has no seeds"), "{error}");
    child.kill().unwrap();
    child.wait().unwrap();
}

/// In a run directory of another user, each file may be a link to any file.
///
/// docs/security.md: 6
#[test]
fn a_resumed_run_writes_through_no_link() {
    for name in ["run.lock", "control.jsonl", "resumes.jsonl"] {
        let home = tempfile::tempdir().unwrap();
        assert_eq!(output(train(home.path(), 1)).2, Some(0));
        let (precious, file) = (home.path().join("precious"), home.path().join("run").join(name));
        std::fs::write(&precious, "precious").unwrap();
        let _ = std::fs::remove_file(&file);
        std::os::unix::fs::symlink(&precious, &file).unwrap();
        let mut command = kasmina(home.path());
        command.args(["train", "--resume", "run", "--epochs", "2"]);
        let (_, error, code) = output(command);
        assert_eq!(code, Some(1), "{name}: {error}");
        assert!(error.contains("it is a symbolic link"), "{name}: {error}");
        assert_eq!(std::fs::read_to_string(&precious).unwrap(), "precious", "{name}");
    }
}
