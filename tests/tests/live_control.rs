//! Control of a live run: requests over its socket, and new builds swapped in by hand and by its watcher.

use kasmina_tests::behaviours::Waver;
use kasmina_tests::builds::Builds;
use kasmina_tests::{kasmina, output};
use serde_json::Value;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A long run in another process, ended when this value is dropped.
struct Live {
    home: tempfile::TempDir,
    child: Child,
}

impl Live {
    fn start(args: &[&str]) -> Self {
        Self::with("", args)
    }

    /// Starts a run with permissive gates and a ramp that outlasts every test, so that its seeds stay in
    /// BLENDING.
    fn with(config: &str, args: &[&str]) -> Self {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("config.toml");
        let easy = "[lifecycle]\npermissive = true\ntrain_fraction = 0.00001\n[alpha]\ntempo = 5000\n";
        std::fs::write(&file, format!("{easy}{config}")).unwrap();
        let mut command = kasmina(home.path());
        command.args(["train", "--out", "run", "--epochs", "100000", "--config"]).arg(file).args(args);
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let child = command.spawn().unwrap();
        let mut live = Self { home, child };
        live.until(|live| live.path("control.sock").exists());
        live
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join("run").join(name)
    }

    /// Waits until a condition holds. Fails with the run's standard error if the run has ended.
    fn until(&mut self, what: impl Fn(&Self) -> bool) {
        let begun = Instant::now();
        while !what(self) {
            if let Some(status) = self.child.try_wait().unwrap() {
                let mut stderr = String::new();
                let _ = self.child.stderr.take().unwrap().read_to_string(&mut stderr);
                panic!("the run has ended, {status}: {stderr}");
            }
            assert!(begun.elapsed() < Duration::from_secs(90), "the condition does not become true");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn json_of(&self, args: &[&str]) -> Result<Value, String> {
        let mut command: Command = kasmina(self.home.path());
        command.args(args);
        let (out, error, code) = output(command);
        if code == Some(0) { Ok(serde_json::from_str(&out).unwrap()) } else { Err(error) }
    }

    fn control(&self, verb: &[&str]) -> Result<Value, String> {
        self.json_of(&[&["control", "run"], verb].concat())
    }

    fn step(&self) -> u64 {
        self.control(&["status"]).unwrap()["step"].as_u64().unwrap()
    }

    /// Returns the events of one name in the run directory.
    fn events(&self, name: &str) -> Vec<Value> {
        let text = std::fs::read_to_string(self.path("events.jsonl")).unwrap_or_default();
        let rows = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        rows.filter(|row| row["event"] == name).collect()
    }

    /// Stops the run and returns its summary.
    fn end(&mut self) -> Value {
        self.control(&["stop"]).unwrap();
        let status = self.child.wait().unwrap();
        assert_eq!(status.code(), Some(130), "interrupted, cleanly");
        assert!(!self.path("control.sock").exists());
        serde_json::from_str(&std::fs::read_to_string(self.path("summary.json")).unwrap()).unwrap()
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_run_answers_requests_of_its_owner() {
    use std::os::unix::fs::PermissionsExt;
    let mut live = Live::start(&[]);
    let mode = std::fs::metadata(live.path("control.sock")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let status = live.control(&["status"]).unwrap();
    assert_eq!(status["slots"].as_array().unwrap().len(), 3, "{status}");
    assert_eq!(status["paused"], false);

    live.control(&["pause"]).unwrap();
    let step = live.step();
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(live.step(), step, "a paused run answers, but takes no step");
    live.control(&["resume"]).unwrap();
    live.until(|live| live.step() > step);

    let error = live.control(&["prune", "nowhere"]).unwrap_err();
    assert!(error.contains("there is no slot `nowhere`"), "{error}");
    live.until(|live| !live.events("SEED_GERMINATED").is_empty());
    live.control(&["prune", "early"]).unwrap();
    live.until(|live| live.events("SEED_PRUNED").iter().any(|e| e["reason"] == "asked"));
    let summary = live.end();
    assert_eq!(summary["status"], "interrupted");

    let mut late = kasmina(live.home.path());
    late.args(["control", "run", "status"]);
    let (_, error, code) = output(late);
    assert_eq!(code, Some(1));
    assert!(error.contains("no run is live in run"), "{error}");
}

fn generation(live: &Live) -> Option<String> {
    let status = live.control(&["status"]).unwrap();
    let loaded = status["loaded"].as_array().unwrap().clone();
    let waver = loaded.into_iter().find(|p| p["name"] == "fixture_waver")?;
    waver["generation"].as_str().map(str::to_owned)
}

#[test]
fn a_build_is_swapped_in_refused_or_rolled_back_on_request() {
    let builds = Builds::new();
    let first = builds.make(Waver::Linear, 0);
    let plugin = first.to_str().unwrap();
    let mut live = Live::start(&["--plugin-path", plugin, "--blend-algorithm", "waver"]);
    live.until(|live| live.events("SEED_STAGE_CHANGED").iter().any(|e| e["to"] == "BLENDING"));
    let before = generation(&live);
    let swap = |live: &Live, file: &Path| live.json_of(&["plugins", "swap", "run", file.to_str().unwrap()]);

    let done = swap(&live, &builds.make(Waver::OtherCurve, 1)).unwrap();
    assert_eq!(done["plugin"], "fixture_waver");
    assert_ne!(generation(&live), before);
    // A build that fails in the child is refused; one that fails in training is rolled back.
    let error = swap(&live, &builds.make(Waver::FailsInBuild, 2)).unwrap_err();
    assert!(error.contains("the build was told to fail"), "{error}");
    let now = generation(&live);
    live.until(|live| live.control(&["status"]).unwrap()["on_trial"] == false);
    let slots = swap(&live, &builds.make(Waver::Nan, 3)).unwrap()["slots"].clone();
    assert!(!slots.as_array().unwrap().is_empty(), "a slot uses the build");
    live.until(|live| generation(live) == now);
    live.until(|live| !live.events("PLUGIN_ROLLED_BACK").is_empty());
    live.until(|live| !live.events("PLUGIN_SWAPPED").is_empty() && !live.events("PLUGIN_REFUSED").is_empty());
    let text = builds.folder().join("libnotes.so");
    std::fs::write(&text, "a text").unwrap();
    assert!(swap(&live, &text).unwrap_err().contains("not an ELF shared library"));
    live.end();
}

#[test]
fn a_watched_file_is_swapped_in_however_it_is_written() {
    let builds = Builds::new();
    let watched = builds.folder().join("libwatched.so");
    std::fs::copy(builds.make(Waver::Linear, 0), &watched).unwrap();
    let plugin = watched.to_str().unwrap();
    let mut live = Live::start(&["--plugin-path", plugin, "--blend-algorithm", "waver", "--watch", plugin]);
    let mut before = generation(&live);
    let aside = builds.folder().join("aside");
    for (mark, in_place) in [(1, false), (2, true), (3, false), (4, true)] {
        let build = builds.make(Waver::Linear, mark);
        if in_place {
            // As a linker writes: into the same inode, over the bytes of the file that was loaded.
            std::fs::write(&watched, std::fs::read(build).unwrap()).unwrap();
        } else {
            std::fs::copy(build, &aside).unwrap();
            std::fs::rename(&aside, &watched).unwrap();
        }
        live.until(|live| generation(live) != before);
        before = generation(&live);
    }
    // Half a file is refused, and the run continues with the build that it has.
    let whole = std::fs::read(&watched).unwrap();
    std::fs::write(&watched, &whole[..whole.len() / 2]).unwrap();
    live.until(|live| live.events("PLUGIN_REFUSED").iter().any(|e| e["rule"] == "shared_library"));
    assert_eq!(generation(&live), before);
    live.end();
}

#[test]
fn a_call_that_never_returns_is_named() {
    let builds = Builds::new();
    let plugin = builds.make(Waver::Hang, 0);
    let args = ["--plugin-path", plugin.to_str().unwrap(), "--blend-algorithm", "waver"];
    let mut live = Live::with("[plugins]\ncall_limit_seconds = 1.0\n", &args);
    live.until(|live| live.path("stuck.jsonl").exists());
    let stuck = std::fs::read_to_string(live.path("stuck.jsonl")).unwrap();
    assert!(stuck.contains("blend `fixture_waver::waver` in slot `block0`"), "{stuck}");
    let error = live.control(&["status"]).unwrap_err();
    assert!(error.contains("the run is stuck: blend `fixture_waver::waver`"), "{error}");
}
