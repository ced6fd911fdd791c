//! Runs that go on: refusals, branches, extensions, locks, signals, full disks, and what was done to a live run.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::format_push_string,
    reason = "a failed step is a failed test, and a table is short"
)]

use kasmina_checkpoint::{Checkpoint, Contents, TensorData};
use kasmina_tests::{builds::Builds, files::copy_tree, kasmina, output, runs, shell::in_shell};
use serde_json::Value;
use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A folder with a run of four epochs in it, in which a seed is in training.
struct Home(tempfile::TempDir);

const CONFIG: &str = "task = \"digits\"\nepochs = 4\ndevice = \"cpu\"\ncontroller = \"scripted\"\nscript = \"one.jsonl\"\n\
    slots = [\"early\", \"mid\"]\n[data]\ntrain_samples = 320\nvalidation_samples = 100\n[lifecycle]\npermissive = true\n";

impl Home {
    /// Without a run yet.
    fn empty() -> Self {
        let home = Self(tempfile::tempdir().unwrap());
        let line = "{\"epoch\":1,\"command\":\"germinate\",\"slot\":\"mid\",\"seed_id\":\"one\",\"blueprint\":\"conv_light\",\
                    \"blend\":\"linear\"}\n";
        std::fs::write(home.path("one.jsonl"), line).unwrap();
        home.configure("");
        home
    }

    /// With a finished run of four epochs that keeps one checkpoint.
    fn finished() -> Self {
        let home = Self::empty();
        home.configure("[checkpoint]\nkeep = 1\nkeep_best = false\n");
        let (_, error, code) = home.train(&["--out", "run"]);
        assert_eq!(code, Some(0), "{error}");
        home
    }

    fn configure(&self, more: &str) {
        std::fs::write(self.path("config.toml"), format!("{CONFIG}{more}")).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = kasmina(self.0.path());
        command.args(args);
        command
    }

    fn train(&self, args: &[&str]) -> (String, String, Option<i32>) {
        output(self.command(&[&["train", "--config", "config.toml"], args].concat()))
    }

    fn resume(&self, args: &[&str]) -> (String, String, Option<i32>) {
        output(self.command(&[&["train", "--resume", "run"], args].concat()))
    }

    /// The error of a resume that is refused, without what differs from machine to machine.
    fn refusal(&self, args: &[&str]) -> String {
        let (_, error, code) = self.resume(args);
        assert_eq!(code, Some(1), "{error}");
        self.told(&error)
    }

    /// An error as a person reads it, without what differs from machine to machine.
    fn told(&self, error: &str) -> String {
        let error = error.replace(&self.0.path().display().to_string(), "HOME");
        let told = |line: &&str| ["x ", "| ", "help"].iter().any(|begins| line.trim().starts_with(begins));
        hashes_hidden(&error.lines().filter(told).map(str::trim).collect::<Vec<_>>().join("\n"))
    }

    fn checkpoints(&self, run: &str) -> Vec<PathBuf> {
        let folder = self.path(run).join("checkpoints");
        kasmina_checkpoint::list(&folder).unwrap().into_iter().map(|listed| listed.path).collect()
    }

    fn newest(&self, run: &str) -> PathBuf {
        self.checkpoints(run).pop().expect("there is a checkpoint")
    }

    /// Writes the newest checkpoint again with something changed.
    fn rewrite(&self, change: impl FnOnce(&mut Value, &mut Vec<(String, Owned)>)) {
        let path = self.newest("run");
        let checkpoint = Checkpoint::read(&path).unwrap();
        let mut state = checkpoint.state;
        let mut model: Vec<(String, Owned)> =
            checkpoint.model.iter().map(|(name, view)| (name.to_owned(), Owned::of(view))).collect();
        change(&mut state, &mut model);
        let view = |(name, owned): &'_ (String, Owned)| -> TensorData<'static> {
            // The test's tensors live as long as the test.
            let (name, owned): (&'static str, &'static Owned) =
                (name.clone().leak(), Box::leak(Box::new(owned.clone())));
            TensorData { name, dtype: owned.dtype, shape: &owned.shape, bytes: &owned.bytes }
        };
        let all = |tensors: &kasmina_checkpoint::Tensors| -> Vec<TensorData<'static>> {
            let owned: Vec<_> = tensors.iter().map(|(n, v)| (n.to_owned(), Owned::of(v))).collect();
            owned.iter().map(view).collect()
        };
        let contents = Contents {
            about: checkpoint.about,
            state: &state,
            model: model.iter().map(view).collect(),
            optimizer: all(&checkpoint.optimizer),
            training: all(&checkpoint.training),
        };
        kasmina_checkpoint::write(path.parent().unwrap(), &contents).unwrap();
    }
}

/// A tensor that can be changed.
#[derive(Clone)]
struct Owned {
    dtype: kasmina_checkpoint::Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl Owned {
    fn of(view: kasmina_checkpoint::TensorView<'_>) -> Self {
        Self { dtype: view.dtype, shape: view.shape.to_vec(), bytes: view.bytes.to_vec() }
    }
}

/// Hashes and the beginnings of hashes as stars.
fn hashes_hidden(text: &str) -> String {
    let hidden = |word: &str| {
        let core: String = word.chars().filter(char::is_ascii_alphanumeric).collect();
        let hash = core.len() >= 12 && core.chars().all(|c| c.is_ascii_hexdigit());
        if hash { "****".to_owned() } else { word.to_owned() }
    };
    let line = |line: &str| line.split(' ').map(hidden).collect::<Vec<_>>().join(" ");
    let text = text.lines().map(line).collect::<Vec<_>>().join("\n");
    // The names of copies are hashes.
    let mut out = String::new();
    for part in text.split_inclusive('/') {
        match part.split_once(".so") {
            Some((hash, rest)) if hash.len() == 64 => write!(out, "****.so{rest}").unwrap(),
            _ => out.push_str(part),
        }
    }
    out
}

/// Everything of a folder but the lock: names and bytes.
fn contents(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            all.extend(contents(&path));
        } else if path.file_name().is_some_and(|name| name != "run.lock") {
            all.push((path.clone(), std::fs::read(path).unwrap()));
        }
    }
    all.sort();
    all
}

#[test]
fn what_a_run_cannot_go_on_with_is_told_and_changes_nothing() {
    type Change = fn(&Home);
    let cases: [(&str, Change); 14] = [
        ("a plugin's copy is gone, and the plugin is not loaded", |home| {
            std::fs::remove_dir_all(home.path("run/plugins")).unwrap();
        }),
        ("a plugin's copy was altered", |home| {
            for entry in std::fs::read_dir(home.path("run/plugins")).unwrap().map(Result::unwrap) {
                let mut bytes = std::fs::read(entry.path()).unwrap();
                bytes.extend([0; 8]);
                std::fs::write(entry.path(), bytes).unwrap();
            }
        }),
        ("a file is truncated", |home| {
            let path = home.newest("run").join("model.safetensors");
            let bytes = std::fs::read(&path).unwrap();
            std::fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
        }),
        ("a bit is flipped", |home| {
            let path = home.newest("run").join("optimizer.safetensors");
            let mut bytes = std::fs::read(&path).unwrap();
            let last = bytes.len() - 1;
            bytes[last] ^= 1;
            std::fs::write(&path, bytes).unwrap();
        }),
        ("the manifest is half there", |home| {
            let path = home.newest("run").join("manifest.json");
            std::fs::write(&path, "{\n  \"schema\": 1,\n").unwrap();
        }),
        ("a tensor is missing", |home| home.rewrite(|_, model| drop(model.remove(0)))),
        ("a tensor too many", |home| {
            home.rewrite(|_, model| {
                let extra = model[0].1.clone();
                model.push(("host.extra".to_owned(), extra));
            });
        }),
        ("a tensor has another shape", |home| {
            home.rewrite(|_, model| {
                let count = model[0].1.shape.iter().product();
                model[0].1.shape = vec![count, 1, 1, 1, 1];
            });
        }),
        ("a tensor has another dtype", |home| {
            home.rewrite(|_, model| model[0].1.dtype = kasmina_checkpoint::Dtype::I32);
        }),
        ("a later version wrote it", |home| {
            let path = home.newest("run").join("manifest.json");
            let text = std::fs::read_to_string(&path).unwrap();
            std::fs::write(&path, text.replace("\"schema\": 1", "\"schema\": 2")).unwrap();
        }),
        ("something else flows through a slot", |home| {
            home.rewrite(|state, _| state["model"]["slots"][0]["topology"] = "transformer".into());
        }),
        ("the host has no such slot any more", |home| {
            home.rewrite(|state, _| state["model"]["slots"][0]["slot"] = "block9".into());
        }),
        ("a setting was changed", |home| {
            let path = home.path("run/config.toml");
            let text = std::fs::read_to_string(&path).unwrap();
            std::fs::write(&path, text.replace("batch_size = 64", "batch_size = 32")).unwrap();
        }),
        ("the data were changed", |home| {
            home.rewrite(|state, _| state["inputs"]["training data"] = "0".into());
        }),
    ];
    let mut table = String::new();
    for (what, change) in cases {
        let home = Home::finished();
        change(&home);
        let before = contents(&home.path("run"));
        let mut args = vec!["--epochs", "6"];
        // Nothing of the shipped plugins is loaded where the run's own copies are what is tested.
        let refusal = if what.starts_with("a plugin's copy") {
            let mut command = home.command(&["train", "--resume", "run"]);
            command.args(&args).env("KASMINA_PLUGIN_PATH", home.path("one.jsonl").parent().unwrap());
            let (_, error, code) = output(command);
            assert_eq!(code, Some(1), "{error}");
            home.told(&error)
        } else {
            home.refusal(&args)
        };
        args.clear();
        table.push_str(&format!("{what}\n{refusal}\n\n"));
        assert!(before == contents(&home.path("run")), "{what}: something has changed");
    }
    insta::assert_snapshot!(table);
}

#[test]
fn a_run_that_cannot_be_written_is_left_as_it_is() {
    // Where root runs the tests, the program runs without root's right to write anywhere.
    let root = rustix::process::geteuid().is_root();
    let bare = if root { "setpriv --bounding-set=-all --inh-caps=-all" } else { "" };
    let mut table = String::new();
    for (what, before, mode) in [
        ("nobody may write into it", format!("exec {bare} "), 0o555),
        ("no file can grow", "trap '' XFSZ; ulimit -f 0; exec ".to_owned(), 0o755),
    ] {
        let home = Home::finished();
        let whole = contents(&home.path("run"));
        let allow = |mode| {
            for folder in ["run", "run/checkpoints"] {
                std::fs::set_permissions(home.path(folder), std::fs::Permissions::from_mode(mode)).unwrap();
            }
        };
        allow(mode);
        let kasmina = home.command(&["train", "--resume", "run", "--epochs", "6"]);
        let (_, error, code) = output(in_shell(&kasmina, &format!("{before}\"$@\""), &[]));
        allow(0o755);
        assert_eq!(code, Some(1), "{error}");
        table.push_str(&format!("{what}\n{}\n\n", home.told(&error)));
        assert!(whole == contents(&home.path("run")), "{what}: something has changed");
    }
    insta::assert_snapshot!(table);
}

#[test]
fn a_run_that_is_over_says_so_and_can_be_extended() {
    let home = Home::finished();
    let before = contents(&home.path("run"));
    let (_, error, code) = home.resume(&[]);
    assert_eq!(code, Some(0), "{error}");
    assert!(error.contains("the run is finished: 4 epochs"), "{error}");
    assert!(before == contents(&home.path("run")), "it does nothing");
    let (_, error, code) = home.resume(&["--epochs", "6"]);
    assert_eq!(code, Some(0), "{error}");
    let rows = runs::lines(&home.path("run/metrics.jsonl"));
    assert_eq!(rows.len(), 6);
    let config = std::fs::read_to_string(home.path("run/config.toml")).unwrap();
    assert!(config.contains("epochs = 6\nschedule_epochs = 4"), "{config}");
    let resumes = runs::lines(&home.path("run/resumes.jsonl"));
    assert_eq!((&resumes[0]["epoch"], &resumes[0]["epochs"]), (&4.into(), &6.into()));
}

#[test]
fn a_branch_leaves_the_run_as_it_is() {
    let home = Home::empty();
    home.configure("[checkpoint]\nkeep = 9\n");
    assert_eq!(home.train(&["--out", "run"]).2, Some(0));
    let before = contents(&home.path("run"));
    let (_, error, code) =
        home.resume(&["--from", "2", "--out", "branch", "--override", "optimizer.learning_rate=0.02"]);
    assert_eq!(code, Some(0), "{error}");
    assert!(before == contents(&home.path("run")), "the original is only read");
    let (old, new) =
        (runs::lines(&home.path("run/metrics.jsonl")), runs::lines(&home.path("branch/metrics.jsonl")));
    assert_eq!((old.len(), new.len()), (4, 4));
    assert_eq!(old[1]["val_loss"], new[1]["val_loss"], "it begins with the same epochs");
    assert_ne!(old[3]["val_loss"], new[3]["val_loss"], "and goes on in its own way");
    let resumes = runs::lines(&home.path("branch/resumes.jsonl"));
    assert_eq!(resumes[0]["overrides"]["optimizer.learning_rate"], 0.02);
    let (_, error, code) = home.resume(&["--from", "7", "--out", "another"]);
    assert_eq!(code, Some(1));
    assert!(error.contains("no checkpoint is left of the end of epoch 7; there is 0, 1, 2, 3, 4"), "{error}");
}

#[test]
fn a_branch_without_changes_is_the_run_again() {
    let home = Home::empty();
    home.configure("[checkpoint]\nkeep = 9\n");
    assert_eq!(home.train(&["--out", "run"]).2, Some(0));
    let (_, error, code) = home.resume(&["--from", "1", "--out", "branch"]);
    assert_eq!(code, Some(0), "{error}");
    assert_eq!(runs::bits(&home.path("run")), runs::bits(&home.path("branch")));
    let model = |run: &str| std::fs::read(home.newest(run).join("model.safetensors")).unwrap();
    assert!(model("run") == model("branch"));
}

#[test]
fn a_broken_checkpoint_is_passed_over_with_one_warning() {
    let home = Home::empty();
    home.configure("[checkpoint]\nkeep = 2\nkeep_best = false\n");
    assert_eq!(home.train(&["--out", "run"]).2, Some(0));
    let reference = runs::bits(&home.path("run"));
    std::fs::write(home.newest("run").join("state.json"), "{").unwrap();
    let mut verify = home.command(&["checkpoints", "verify", "run"]);
    verify.stderr(Stdio::null());
    assert_eq!(output(verify).2, Some(1));
    let (_, error, code) = home.resume(&[]);
    assert_eq!(code, Some(0), "{error}");
    assert_eq!(error.matches("WARN").count(), 1, "{error}");
    assert!(error.contains("the one before it is used"), "{error}");
    assert_eq!(runs::bits(&home.path("run")), reference);
}

#[test]
fn an_unfinished_run_says_how_to_go_on_with_it() {
    let home = Home::finished();
    let (_, error, _) = home.train(&["--out", "run"]);
    assert!(
        error.contains("it holds a run already") && error.contains("choose another directory"),
        "{error}"
    );
    std::fs::remove_file(home.path("run/summary.json")).unwrap();
    let (_, error, _) = home.train(&["--out", "run"]);
    assert!(error.contains("go on with it: kasmina train --resume run"), "{error}");
}

/// A run that lasts, in another process, ended when this value is dropped.
struct Live(Child);

impl Drop for Live {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits until something is so.
fn until(what: &str, mut so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !so() {
        assert!(begun.elapsed() < Duration::from_secs(90), "it does not come: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn start(home: &Home, args: &[&str]) -> Live {
    let mut command =
        home.command(&["train", "--config", "config.toml", "--out", "run", "--epochs", "100000"]);
    command.args(args).stdout(Stdio::null()).stderr(Stdio::null());
    let live = Live(command.spawn().unwrap());
    until("the first epochs", || {
        std::fs::read_to_string(home.path("run/metrics.jsonl")).is_ok_and(|t| t.lines().count() > 2)
    });
    live
}

fn signal(live: &Live, name: &str) {
    let status = Command::new("kill").args(["-s", name, &live.0.id().to_string()]).status().unwrap();
    assert!(status.success());
}

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
            "the last state is saved, whatever the schedule says"
        );
        let epochs = (rows + 2).to_string();
        let (_, error, code) = home.resume(&["--epochs", &epochs]);
        assert_eq!(code, Some(0), "{error}");
    }
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
    assert!(live.0.try_wait().unwrap().is_none(), "it runs on");
    signal(&live, "TERM");
    assert_eq!(live.0.wait().unwrap().code(), Some(143));
}

#[test]
fn a_second_owner_is_told_who_the_first_is() {
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
    // What it says goes into a pipe: a file could not grow either.
    let mut said = live.0.stderr.take().map(Said::read).unwrap();
    until("the first epochs", || epochs() > 2);
    // No file may grow any more, as on a full disk.
    let pid = Pid::from_raw(live.0.id().try_into().unwrap());
    let limit = |bytes| prlimit(pid, Resource::Fsize, Rlimit { current: bytes, maximum: None }).unwrap();
    limit(Some(0));
    until("it is noticed", || {
        said.times("metrics.jsonl cannot be written, its lines are kept in memory") > 0
    });
    until("saving pauses", || said.times("nothing is saved until this is mended, training goes on") > 0);
    let (then, checkpoint) = (epochs(), saved());
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!((epochs(), saved()), (then, checkpoint.clone()), "nothing is written");
    assert!(live.0.try_wait().unwrap().is_none(), "it runs on");
    limit(None);
    until("the journal goes on", || epochs() > then + 3);
    until("saving goes on", || saved() != checkpoint);
    signal(&live, "TERM");
    assert_eq!(live.0.wait().unwrap().code(), Some(143));
    assert_eq!(said.times("nothing is saved"), 1, "it is said once");
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

/// What a process says on its standard error, read on a thread as it comes.
struct Said(std::sync::Arc<std::sync::Mutex<String>>);

impl Said {
    fn read(pipe: std::process::ChildStderr) -> Self {
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

    fn times(&mut self, text: &str) -> usize {
        self.0.lock().unwrap().matches(text).count()
    }
}

#[test]
fn what_was_done_to_a_live_run_is_done_again() {
    let builds = Builds::new();
    let (first, second) = (builds.make('0', 0), builds.make('c', 1));
    let home = Home::empty();
    let config = format!(
        "task = \"digits\"\nepochs = 10\ndevice = \"cpu\"\nblend = \"waver\"\nplugin_path = [{first:?}]\n\
         [data]\ntrain_samples = 640\nvalidation_samples = 100\n[lifecycle]\npermissive = true\ntrain_fraction = 0.00001\n\
         [alpha]\ntempo = 4\n[growth]\nfirst_epoch = 1\n[checkpoint]\nevery_steps = 1\nkeep = 400\n",
    );
    std::fs::write(home.path("config.toml"), config).unwrap();
    // The reference: a build is swapped in while a seed is blended in, and a prune is asked for.
    let mut command = home.command(&["train", "--config", "config.toml", "--out", "whole"]);
    let mut live = Live(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    let ask = |args: &[&str]| {
        let (out, error, code) = output(home.command(args));
        assert_eq!(code, Some(0), "{error}");
        serde_json::from_str::<Value>(&out).unwrap()
    };
    let blending = || {
        let text = std::fs::read_to_string(home.path("whole/events.jsonl")).unwrap_or_default();
        text.contains("\"to\":\"BLENDING\"")
    };
    until("a seed is blended in", blending);
    ask(&["control", "whole", "pause"]);
    let swapped = ask(&["plugins", "swap", "whole", second.to_str().unwrap()]);
    assert!(!swapped["slots"].as_array().unwrap().is_empty(), "{swapped}");
    let at = swapped["step"].as_u64().unwrap();
    let mut prune =
        Live(home.command(&["control", "whole", "prune", "late"]).stderr(Stdio::null()).spawn().unwrap());
    until("the prune is written down", || acts(&home.path("whole")).contains(&"prune".to_owned()));
    ask(&["control", "whole", "resume"]);
    assert_eq!(prune.0.wait().unwrap().code(), Some(1), "there is no seed");
    assert_eq!(live.0.wait().unwrap().code(), Some(0));
    let reference = runs::bits(&home.path("whole"));
    let text = serde_json::to_string(&reference).unwrap();
    assert!(
        text.contains("PLUGIN_SWAPPED") && text.contains("PLUGIN_CONFIRMED"),
        "the trial was over in time"
    );

    // From before the swap, right after it, in the middle of its trial, and after its trial.
    let steps: Vec<(u64, PathBuf)> = home
        .checkpoints("whole")
        .into_iter()
        .map(|path| (Checkpoint::read(&path).unwrap().about.step, path))
        .collect();
    let during = steps.iter().filter(|(step, _)| (at + 1..at + 32).contains(step)).count();
    assert_eq!(
        during, 0,
        "while a build is on trial nothing is saved: the checkpoint before is the one to go on from"
    );
    let mut tried = 0;
    for wanted in [at.saturating_sub(3), at, at + 32, at + 40] {
        let Some((step, path)) = steps.iter().find(|(step, _)| *step >= wanted) else { continue };
        let copy = home.path("again");
        let _ = std::fs::remove_dir_all(&copy);
        copy_run(&home.path("whole"), &copy, path);
        let (_, error, code) = output(home.command(&["train", "--resume", "again"]));
        assert_eq!(code, Some(0), "from step {step}: {error}");
        assert!(runs::bits(&copy) == reference, "from step {step} it went on otherwise");
        let model = |run: &str| std::fs::read(home.newest(run).join("model.safetensors")).unwrap();
        assert!(model("again") == model("whole"), "from step {step}");
        tried += 1;
    }
    assert!(tried >= 3, "{tried} of the moments were there");
}

/// What was done to a live run, by what it was.
fn acts(run: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(run.join("control.jsonl")).unwrap_or_default();
    let rows = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    rows.filter_map(|row| row["act"].as_str().map(str::to_owned)).collect()
}

#[test]
fn the_running_statistics_of_a_torchscript_seed_are_saved() {
    let home = Home::empty();
    let module = home.path("normed.pt");
    let made = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/script/normed.pt");
    std::fs::copy(made, &module).unwrap();
    let sidecar = "[blueprint]\nid = \"normed\"\nsummary = \"a branch with batch norm\"\ntopologies = [\"cnn\"]\n\
                   \n[module]\nchannels = 3\n";
    std::fs::write(home.path("normed.pt.toml"), sidecar).unwrap();
    let line = "{\"epoch\":1,\"command\":\"germinate\",\"slot\":\"early\",\"seed_id\":\"one\",\"blueprint\":\"normed\",\
                \"blend\":\"linear\",\"tempo\":2}\n";
    std::fs::write(home.path("one.jsonl"), line).unwrap();
    home.configure("[checkpoint]\nevery_steps = 1\nkeep = 400\n");
    let (_, error, code) =
        home.train(&["--out", "whole", "--epochs", "6", "--plugin-path", module.to_str().unwrap()]);
    assert_eq!(code, Some(0), "{error}");
    let reference = runs::bits(&home.path("whole"));
    for wanted in [13, 22] {
        let from = home
            .checkpoints("whole")
            .into_iter()
            .find(|path| kasmina_tests::undisturbed::step_of(path) >= wanted);
        let from = from.unwrap();
        let checkpoint = Checkpoint::read(&from).unwrap();
        let names: Vec<&str> = checkpoint.model.iter().map(|(name, _)| name).collect();
        assert!(names.contains(&"slot.block0.seed.module.norm_running_mean"), "{names:?}");
        let copy = home.path("again");
        let _ = std::fs::remove_dir_all(&copy);
        copy_run(&home.path("whole"), &copy, &from);
        let (_, error, code) = output(home.command(&["train", "--resume", "again"]));
        assert_eq!(code, Some(0), "{error}");
        assert!(runs::bits(&copy) == reference, "from step {wanted} it went on otherwise");
        let model = |run: &str| std::fs::read(home.newest(run).join("model.safetensors")).unwrap();
        assert!(model("again") == model("whole"), "from step {wanted}");
    }
}

#[test]
fn what_was_asked_for_at_the_step_of_a_stop_is_done_once() {
    let home = Home::empty();
    let mut live = start(&home, &[]);
    let (_, error, code) = output(home.command(&["control", "run", "pause"]));
    assert_eq!(code, Some(0), "{error}");
    let _prune =
        Live(home.command(&["control", "run", "prune", "early"]).stderr(Stdio::null()).spawn().unwrap());
    until("the prune is written down", || !acts(&home.path("run")).is_empty());
    signal(&live, "TERM");
    assert_eq!(live.0.wait().unwrap().code(), Some(143));
    let epochs = (runs::lines(&home.path("run/metrics.jsonl")).len() + 2).to_string();
    let (_, error, code) = home.resume(&["--epochs", &epochs]);
    assert_eq!(code, Some(0), "{error}");
    let rows = runs::lines(&home.path("run/commands.jsonl"));
    assert_eq!(rows.iter().filter(|row| row["reason"] == "asked").count(), 1, "{rows:?}");
}

/// A run as it was when one of its checkpoints was the newest: what a kill right after it leaves.
fn copy_run(run: &Path, to: &Path, checkpoint: &Path) {
    let into = to.join("checkpoints").join(checkpoint.file_name().unwrap());
    std::fs::create_dir_all(&into).unwrap();
    for (from, to) in [(run, to), (checkpoint, &into), (&run.join("plugins"), &to.join("plugins"))] {
        std::fs::create_dir_all(to).unwrap();
        for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap).filter(|e| e.path().is_file()) {
            std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
    std::fs::remove_file(to.join("summary.json")).unwrap();
}

#[test]
fn a_run_of_somebody_else_is_not_trusted() {
    let home = Home::finished();
    let stranger = |args: &[&str]| {
        // Another user's state folder, none of whose runs has used these bytes; another project; no plugins elsewhere.
        let other = home.path("other");
        std::fs::create_dir_all(&other).unwrap();
        let mut command = home.command(&["train", "--resume", "../run", "--epochs", "5"]);
        command.current_dir(&other).args(args).env("HOME", &other).env("KASMINA_PLUGIN_PATH", &other);
        command.env_remove("KASMINA_ALLOW_UNSIGNED");
        output(command)
    };
    let (_, error, code) = stranger(&[]);
    assert_eq!(code, Some(1), "{error}");
    assert!(
        error.contains("a run directory vouches for nothing") && error.contains("--trust-run"),
        "{error}"
    );
    // A lock file in the run directory is the stranger's word too, also for whoever stands in it.
    std::fs::copy(home.path("plugins.lock"), home.path("run/plugins.lock")).unwrap();
    let mut inside = home.command(&["train", "--resume", ".", "--epochs", "5"]);
    let other = home.path("other");
    inside.current_dir(home.path("run")).env("HOME", &other).env("KASMINA_PLUGIN_PATH", &other);
    let (_, error, code) = output(inside);
    assert_eq!(code, Some(1), "{error}");
    assert!(error.contains("a run directory vouches for nothing"), "{error}");
    let (_, error, code) = stranger(&["--trust-run"]);
    assert_eq!(code, Some(0), "{error}");
}

#[test]
fn a_host_module_of_somebody_else_is_not_run() {
    let home = tempfile::tempdir().unwrap();
    let config = kasmina_tests::cases::write("digits_grafted", home.path());
    let mut command = kasmina(home.path());
    command.args(["train", "--epochs", "1", "--out", "run", "--config"]).arg(config);
    let (_, error, code) = output(command);
    assert_eq!(code, Some(0), "{error}");
    let other = home.path().join("other");
    std::fs::create_dir_all(&other).unwrap();
    let stranger = |args: &[&str]| {
        let mut command = kasmina(home.path());
        command.args(["train", "--resume", "run", "--epochs", "2"]).args(args).env("HOME", &other);
        output(command)
    };
    let (_, error, code) = stranger(&[]);
    assert_eq!(code, Some(1), "{error}");
    assert!(error.contains("it is the host module that a run directory names"), "{error}");
    let (_, error, code) = stranger(&["--trust-run"]);
    assert_eq!(code, Some(0), "{error}");
}

#[test]
fn the_first_version_can_still_be_read() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/checkpoints/v1");
    let home = tempfile::tempdir().unwrap();
    let run = home.path().join("run");
    copy_tree(&folder, &run);
    let options = kasmina_trainer::run::ResumeOptions { run, epochs: Some(9), ..Default::default() };
    let opened = kasmina_trainer::run::Opened::open(&options).unwrap();
    let kasmina_trainer::run::Resumption::Ready(opened) = opened else { panic!("it can go on") };
    assert_eq!(opened.done(), (2, 10));
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
