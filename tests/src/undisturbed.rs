//! Undisturbed runs of the cases. A disturbed run of the same case must end with the same state and journals.

use crate::{SHIPPED, cases, fixture, kasmina, runs, shipped};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Names of the cases that are disturbed. Together they cover every stage, dropout, a stochastic seed, a
/// learned gate, crops and flips, text, a grafted module, prefetches, scheduled prunes and ramps that count
/// steps.
pub const NAMES: [&str; 12] = [
    "digits_shadowing_cooldown",
    "digits_scripted",
    "digits_prefetch",
    "digits_periodic",
    "digits_stochastic",
    "digits_learned_gate",
    "cifar_resnet",
    "chars_dropout",
    "digits_grafted",
    "addition_attention",
    "digits_ramp_in_steps",
    "digits_heuristic",
];

/// A case with its undisturbed run, which is in the folder `whole`.
#[derive(Debug)]
pub struct Undisturbed {
    /// Name of the case.
    pub name: &'static str,
    home: tempfile::TempDir,
}

impl Undisturbed {
    /// Trains the undisturbed run of a case.
    pub fn train(name: &'static str) -> Self {
        let home = tempfile::tempdir().unwrap();
        let mut text = cases::text(name, home.path());
        if name == "cifar_resnet" {
            text = text.replace("[data]\n", "[data]\ncrop = 4\nflip = true\n");
        }
        // On a GPU, only deterministic convolutions are reproducible to the bit.
        text.push_str("\n[compute]\nconvolutions = \"deterministic\"\n");
        std::fs::write(home.path().join("case.toml"), text).unwrap();
        let case = Self { name, home };
        let mut command = case.command("whole", 0);
        let out = command.stderr(Stdio::piped()).output().unwrap();
        assert!(out.status.success(), "{name}: {}", String::from_utf8_lossy(&out.stderr));
        case
    }

    /// Returns the command that trains the case into the folder `out` and saves every `every` steps; 0 saves
    /// only at the beginning and at the end.
    pub fn command(&self, out: &str, every: u64) -> Command {
        let text = std::fs::read_to_string(self.path("case.toml")).unwrap();
        let checkpoints = format!("\n[checkpoint]\nevery_epochs = 0\nevery_steps = {every}\nkeep = 3\n");
        let config = self.path(&format!("{out}.toml"));
        std::fs::write(&config, text + &checkpoints).unwrap();
        let device = std::env::var("KASMINA_KILLS_DEVICE").unwrap_or_else(|_| "cpu".to_owned());
        let mut command = self.kasmina();
        command.args(["train", "--device", &device, "--out", out, "--config"]).arg(config);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// Returns the command that resumes a run.
    pub fn resume(&self, run: &str) -> Command {
        let mut command = self.kasmina();
        command.args(["train", "--resume", run]);
        command
    }

    /// Returns a command of the binary with every plugin that the cases use.
    fn kasmina(&self) -> Command {
        let mut command = kasmina(self.home.path());
        let paths =
            SHIPPED.iter().map(|name| shipped(name)).chain(cases::FIXTURES.iter().map(|name| fixture(name)));
        command.env("KASMINA_PLUGIN_PATH", std::env::join_paths(paths).unwrap());
        // A machine with a GPU may name its libraries by this variable.
        if let Some(libraries) = std::env::var_os("LD_LIBRARY_PATH") {
            command.env("LD_LIBRARY_PATH", libraries);
        }
        command
    }

    /// Returns how a run differs from the undisturbed one, in its final weights, its optimizer state or its
    /// journals (without times); `None` if it does not.
    pub fn difference(&self, run: &str) -> Option<String> {
        let (run, whole) = (self.path(run), self.path("whole"));
        for file in ["model.safetensors", "optimizer.safetensors"] {
            let bytes = |run: &Path| newest(run).and_then(|path| std::fs::read(path.join(file)).ok());
            let (now, then) = (bytes(&run), bytes(&whole));
            if now.is_none() || now != then {
                return Some(format!("{file} differs, in {}", run.display()));
            }
        }
        let (now, then) = (runs::bits(&run), runs::bits(&whole));
        match now.iter().zip(&then).position(|(now, then)| now != then) {
            Some(line) => Some(format!("line {line} of the journals differs, in {}", run.display())),
            None if now.len() == then.len() => None,
            None => Some(format!("{} lines instead of {}", now.len(), then.len())),
        }
    }

    /// Returns the path of a file or folder beside the runs.
    pub fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }
}

/// Returns the newest checkpoint of a run, by its name.
pub fn newest(run: &Path) -> Option<PathBuf> {
    let entries = std::fs::read_dir(run.join("checkpoints")).ok()?;
    let paths = entries.flatten().map(|entry| entry.path());
    paths.filter(|path| path.file_name().is_some_and(|n| n.to_string_lossy().starts_with("step-"))).max()
}

/// Returns the step in a checkpoint's name.
pub fn step_of(path: &Path) -> u64 {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    name.split('-').nth(1).and_then(|step| step.parse().ok()).unwrap_or(0)
}

/// A random number generator (SplitMix64), reproducible from its seed.
#[derive(Debug)]
pub struct Random(u64);

impl Random {
    /// Creates a generator with a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Returns a random number below a bound; 0 for a bound of 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound.max(1)
    }
}
