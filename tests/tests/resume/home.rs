//! A temporary folder with a run, and helpers to train, resume and change it.

use kasmina_checkpoint::{Checkpoint, Contents, TensorData};
use kasmina_tests::{kasmina, output};
use serde_json::Value;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A folder for a run of four epochs, in which a seed trains.
pub(crate) struct Home(pub(crate) tempfile::TempDir);

const CONFIG: &str = "task = \"digits\"\nepochs = 4\ndevice = \"cpu\"\ncontroller = \"scripted\"\nscript = \"one.jsonl\"\n\
    slots = [\"early\", \"mid\"]\n[data]\ntrain_samples = 320\nvalidation_samples = 100\n[lifecycle]\npermissive = true\n";

impl Home {
    /// Creates a folder with a configuration and without a run.
    pub(crate) fn empty() -> Self {
        let home = Self(tempfile::tempdir().unwrap());
        let line = "{\"epoch\":1,\"command\":\"germinate\",\"slot\":\"mid\",\"seed_id\":\"one\",\"blueprint\":\"conv_light\",\
                    \"blend\":\"linear\"}\n";
        std::fs::write(home.path("one.jsonl"), line).unwrap();
        home.configure("");
        home
    }

    /// Creates a folder with a finished run of four epochs that keeps one checkpoint.
    pub(crate) fn finished() -> Self {
        let home = Self::empty();
        home.configure("[checkpoint]\nkeep = 1\nkeep_best = false\n");
        let (_, error, code) = home.train(&["--out", "run"]);
        assert_eq!(code, Some(0), "{error}");
        home
    }

    pub(crate) fn configure(&self, more: &str) {
        std::fs::write(self.path("config.toml"), format!("{CONFIG}{more}")).unwrap();
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = kasmina(self.0.path());
        command.args(args);
        command
    }

    pub(crate) fn train(&self, args: &[&str]) -> (String, String, Option<i32>) {
        output(self.command(&[&["train", "--config", "config.toml"], args].concat()))
    }

    pub(crate) fn resume(&self, args: &[&str]) -> (String, String, Option<i32>) {
        output(self.command(&[&["train", "--resume", "run"], args].concat()))
    }

    /// Resumes the run, which must be refused, and returns the message without what differs between machines.
    pub(crate) fn refusal(&self, args: &[&str]) -> String {
        let (_, error, code) = self.resume(args);
        assert_eq!(code, Some(1), "{error}");
        self.message(&error)
    }

    /// Returns the message of an error, without log lines and without what differs between machines.
    pub(crate) fn message(&self, error: &str) -> String {
        let error = error.replace(&self.0.path().display().to_string(), "HOME");
        let is_message =
            |line: &&str| ["x ", "| ", "help"].iter().any(|begins| line.trim().starts_with(begins));
        hashes_hidden(&error.lines().filter(is_message).map(str::trim).collect::<Vec<_>>().join("\n"))
    }

    pub(crate) fn checkpoints(&self, run: &str) -> Vec<PathBuf> {
        let folder = self.path(run).join("checkpoints");
        kasmina_checkpoint::list(&folder).unwrap().into_iter().map(|listed| listed.path).collect()
    }

    pub(crate) fn newest(&self, run: &str) -> PathBuf {
        self.checkpoints(run).pop().expect("there is a checkpoint")
    }

    /// Rewrites the newest checkpoint with a changed state or changed tensors of the model.
    pub(crate) fn rewrite(&self, change: impl FnOnce(&mut Value, &mut Vec<(String, Owned)>)) {
        let path = self.newest("run");
        let checkpoint = Checkpoint::read(&path).unwrap();
        let mut state = checkpoint.state;
        let mut model: Vec<(String, Owned)> =
            checkpoint.model.iter().map(|(name, view)| (name.to_owned(), Owned::of(view))).collect();
        change(&mut state, &mut model);
        let view = |(name, owned): &'_ (String, Owned)| -> TensorData<'static> {
            // Leaked, so that the tensors live as long as the test.
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

/// An owned tensor of a checkpoint.
#[derive(Clone)]
pub(crate) struct Owned {
    pub(crate) dtype: kasmina_checkpoint::Dtype,
    pub(crate) shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl Owned {
    pub(crate) fn of(view: kasmina_checkpoint::TensorView<'_>) -> Self {
        Self { dtype: view.dtype, shape: view.shape.to_vec(), bytes: view.bytes.to_vec() }
    }
}

/// Replaces hashes and prefixes of hashes by stars.
pub(crate) fn hashes_hidden(text: &str) -> String {
    let hidden = |word: &str| {
        let core: String = word.chars().filter(char::is_ascii_alphanumeric).collect();
        let hash = core.len() >= 12 && core.chars().all(|c| c.is_ascii_hexdigit());
        if hash { "****".to_owned() } else { word.to_owned() }
    };
    let line = |line: &str| line.split(' ').map(hidden).collect::<Vec<_>>().join(" ");
    let text = text.lines().map(line).collect::<Vec<_>>().join("\n");
    // The copies of plugins are named by their hashes.
    let mut out = String::new();
    for part in text.split_inclusive('/') {
        match part.split_once(".so") {
            Some((hash, rest)) if hash.len() == 64 => write!(out, "****.so{rest}").unwrap(),
            _ => out.push_str(part),
        }
    }
    out
}

/// Returns the paths and bytes of all files of a folder except `run.lock`.
pub(crate) fn contents(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
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
