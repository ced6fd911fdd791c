//! Every kind of file, however it stands, in every command: opened or not, in one table.
//!
//! A library leaves a mark when it is opened. What is interpreted leaves none: there it counts whether the command used it.

use kasmina_tests::{built, fixture, output, say, shipped};
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use tch::{CModule, Device, Tensor};

const SMALL: &str = "epochs = 1\ndevice = \"cpu\"\n[data]\ntrain_samples = 60\nvalidation_samples = 40\n";
const DECLARED: &str = r#"
[blueprint]
id = "declared-one"
summary = "one"
topologies = ["cnn"]

[[layer]]
name = "up"
op = "conv"
channels = "C"
kernel = 1
init = "zeros"

[output]
from = "up"
residual = "add"
"#;
const SIDECAR: &str = "[blueprint]\nid = \"scripted-one\"\nsummary = \"one\"\ntopologies = [\"cnn\"]\n";
const PATIENCE: Duration = Duration::from_mins(2);

/// The kinds of file whose code runs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Library,
    Declared,
    Seed,
    Host,
}

/// How a file stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    Bundled,
    Signed,
    Pinned,
    Unsigned,
    Foreign,
    ForeignPinned,
    OpenParent,
    OpenTarget,
    Swapped,
    LockOfAnother,
}

impl Standing {
    const ALL: [(Self, &'static str); 10] = [
        (Self::Bundled, "bundled"),
        (Self::Signed, "signed"),
        (Self::Pinned, "pinned"),
        (Self::Unsigned, "unsigned"),
        (Self::Foreign, "of another user"),
        (Self::ForeignPinned, "of another user, pinned"),
        (Self::OpenParent, "pinned, in a folder that all may write"),
        (Self::OpenTarget, "pinned, a link into such a folder"),
        (Self::Swapped, "pinned, then replaced"),
        (Self::LockOfAnother, "pinned by somebody else"),
    ];

    fn needs_root(self) -> bool {
        matches!(self, Self::Foreign | Self::ForeignPinned)
    }
}

/// A program with its plugins, a home, and a project with one file in it.
struct Scene {
    folder: tempfile::TempDir,
    kind: Kind,
}

impl Scene {
    fn new(kind: Kind, standing: Standing) -> Self {
        let scene = Self { folder: tempfile::tempdir().unwrap(), kind };
        for name in ["bin/plugins", "home", "project/plugins", "open"] {
            fs::create_dir_all(scene.path(name)).unwrap();
        }
        let link = |from: &Path, to: &Path| {
            if fs::hard_link(from, to).is_err() {
                fs::copy(from, to).unwrap();
            }
        };
        link(&built().join("kasmina-alone/kasmina"), &scene.path("bin/kasmina"));
        for name in kasmina_tests::SHIPPED {
            let library = shipped(name);
            link(&library, &scene.path("bin/plugins").join(library.file_name().unwrap()));
        }
        fs::write(scene.path("project/small.toml"), scene.config()).unwrap();
        scene.place(standing);
        scene
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The file, as a project has it.
    fn name(&self) -> &'static str {
        match self.kind {
            Kind::Library => "plugins/libmarker.so",
            Kind::Declared => "plugins/one.blueprint.toml",
            Kind::Seed => "plugins/one.pt",
            Kind::Host => "net.pt",
        }
    }

    fn file(&self) -> PathBuf {
        self.path("project").join(self.name())
    }

    fn config(&self) -> String {
        if self.kind != Kind::Host {
            return SMALL.to_owned();
        }
        format!(
            "{SMALL}[host]\nid = \"core::grafted\"\n[host.config]\nmodule = \"net.pt\"\nslots = [\"body.*\"]\n\
             [growth]\nfirst_epoch = 9\n"
        )
        .replace("epochs = 1\n", "epochs = 1\ndisable_seeds = true\n")
    }

    /// Writes the file; `mark` makes other bytes of the same meaning.
    fn write(&self, to: &Path, mark: &str) {
        let script = |name: &str| {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/script").join(name);
            fs::read(path.with_extension("pt")).unwrap()
        };
        match self.kind {
            Kind::Library => {
                let mut bytes = fs::read(fixture("marker")).unwrap();
                bytes.extend(mark.bytes());
                fs::write(to, bytes).unwrap();
            }
            Kind::Declared => fs::write(to, format!("# {mark}\n{DECLARED}")).unwrap(),
            Kind::Seed => {
                fs::write(to, seed_module()).unwrap();
                let mut sidecar = to.as_os_str().to_owned();
                sidecar.push(".toml");
                fs::write(sidecar, format!("# {mark}\n{SIDECAR}")).unwrap();
            }
            Kind::Host if mark.is_empty() => fs::write(to, script("digits")).unwrap(),
            Kind::Host => fs::write(to, script("normed")).unwrap(),
        }
    }

    fn place(&self, standing: Standing) {
        let file = self.file();
        self.write(&file, "");
        let quietly = |args: &[&str]| {
            let (_, error, code) = output(self.command(args));
            assert_eq!(code, Some(0), "{args:?}: {error}");
        };
        let chmod = |path: &Path, mode: u32| {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        };
        match standing {
            Standing::Unsigned => {}
            Standing::Bundled => {
                let beside = self.path("bin/plugins");
                for entry in fs::read_dir(self.path("project/plugins")).unwrap().flatten() {
                    fs::rename(entry.path(), beside.join(entry.file_name())).unwrap();
                }
            }
            Standing::Signed => {
                quietly(&["plugins", "keygen", "me", "--no-password"]);
                quietly(&["plugins", "trust", "add", "me", "me.pub"]);
                quietly(&["plugins", "sign", self.name(), "--key", "me.key"]);
            }
            Standing::Pinned => quietly(&["plugins", "lock", self.name()]),
            Standing::Foreign | Standing::ForeignPinned => {
                if standing == Standing::ForeignPinned {
                    quietly(&["plugins", "lock", self.name()]);
                }
                chown(&file, Some(65_534), Some(65_534)).unwrap();
            }
            Standing::OpenParent => {
                quietly(&["plugins", "lock", self.name()]);
                chmod(file.parent().unwrap(), 0o777);
            }
            Standing::OpenTarget => {
                quietly(&["plugins", "lock", self.name()]);
                let target = self.path("open").join(file.file_name().unwrap());
                fs::rename(&file, &target).unwrap();
                symlink(&target, &file).unwrap();
                chmod(&self.path("open"), 0o777);
            }
            Standing::Swapped => {
                quietly(&["plugins", "lock", self.name()]);
                self.write(&file, "other");
            }
            Standing::LockOfAnother => {
                quietly(&["plugins", "lock", self.name()]);
                fs::remove_dir_all(self.path("home")).unwrap();
            }
        }
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(self.path("bin/kasmina"));
        command.env_clear().env("HOME", self.path("home")).env("KASMINA_TEST_OPENED", self.path("mark"));
        command.current_dir(self.path("project")).args(args);
        command
    }

    /// Whether a command has opened a library, or used what is interpreted.
    fn opens(&self, command: Command) -> bool {
        let _ = fs::remove_file(self.path("mark"));
        let (_, _, code) = output(command);
        if self.kind == Kind::Library { self.path("mark").exists() } else { code == Some(0) }
    }

    fn train(&self, out: &str) -> Command {
        let blueprint = match self.kind {
            Kind::Library => "marker",
            Kind::Declared => "declared-one",
            Kind::Seed => "scripted-one",
            Kind::Host => "norm",
        };
        self.command(&["train", "--config", "small.toml", "--blueprint", blueprint, "--out", out])
    }

    /// What a command does with the file.
    fn cell(&self, verb: &str) -> bool {
        match verb {
            "train" => self.opens(self.train("run")),
            "compare" => {
                let compare =
                    "seeds = 1\ntuning_seeds = 1\nrates = [1e-2]\n\n[run]\nblueprint = \"marker\"\n";
                let run = SMALL.replace("[data]", "[run.data]");
                fs::write(self.path("project/compare.toml"), format!("{compare}{run}")).unwrap();
                self.opens(self.command(&["compare", "compare.toml", "--out", "compared", "--jobs", "1"]))
            }
            "schema" => self.opens(self.command(&["plugins", "schema", "marker"])),
            "check" => self.opens(self.command(&["plugins", "check", self.name(), "--only", "listing"])),
            "inspect" => self.opens(self.command(&["plugins", "inspect", self.name()])),
            // Into a run that has not loaded it.
            "swap" => self.live(&[], |scene| {
                let _ = output(scene.command(&["plugins", "swap", "live", scene.name()]));
            }),
            // Into a run that watches another file of the same folder, while this one comes to lie there again.
            "watch" => self.live(&["--watch=plugins/other.so"], |scene| {
                let bytes = fs::read(scene.file()).unwrap_or_default();
                let _ = fs::write(scene.file(), bytes);
                std::thread::sleep(Duration::from_secs(1));
            }),
            other => self.opens(self.command(&["plugins", other])),
        }
    }

    /// Whether something that is done to a live run makes it open the file, which lies there since the run has begun.
    fn live(&self, args: &[&str], act: impl FnOnce(&Self)) -> bool {
        let (file, aside) = (self.file(), self.path("aside"));
        fs::rename(&file, &aside).unwrap_or(());
        let mut command =
            self.command(&["train", "--config", "small.toml", "--epochs", "100000", "--out", "live"]);
        command.args(["--no-checkpoints"]).args(args).stdout(Stdio::null()).stderr(Stdio::null());
        let live = Ended(command.spawn().unwrap());
        let begun = Instant::now();
        while !self.path("project/live/control.sock").exists() {
            assert!(begun.elapsed() < PATIENCE, "the run does not listen");
            std::thread::sleep(Duration::from_millis(10));
        }
        fs::rename(&aside, &file).unwrap_or(());
        let _ = fs::remove_file(self.path("mark"));
        act(self);
        drop(live);
        let opened = self.path("mark").exists();
        fs::remove_dir_all(self.path("project/live")).unwrap();
        opened
    }
}

/// A module that a seed can be: features in, features of the same shape out.
fn seed_module() -> Vec<u8> {
    static BYTES: OnceLock<Vec<u8>> = OnceLock::new();
    let make = || {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("seed.pt");
        let x = Tensor::ones([2, 4, 3, 3], (tch::Kind::Float, Device::Cpu));
        let traced =
            CModule::create_by_tracing("doubler", "forward", &[x], &mut |xs: &[Tensor]| vec![&xs[0] * 2.0]);
        traced.unwrap().save(&file).unwrap();
        fs::read(file).unwrap()
    };
    BYTES.get_or_init(make).clone()
}

/// A process that ends with this value.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn table(kind: Kind, verbs: &[&str]) -> String {
    let mut table = format!("{:<40}{}\n", "", verbs.join("  "));
    for (standing, words) in Standing::ALL {
        let root = rustix::process::geteuid().is_root();
        if standing.needs_root() && !root {
            say(&format!("SKIPPED `{words}`: only root can give files to another user"));
            continue;
        }
        // A host module lies beside no program, and has no version to sign.
        if kind == Kind::Host && matches!(standing, Standing::Bundled | Standing::Signed) {
            continue;
        }
        table += &format!("{words:<40}");
        for verb in verbs {
            let told = match standing {
                // It lies elsewhere.
                Standing::Bundled if matches!(*verb, "inspect" | "check" | "swap" | "watch") => "-",
                _ if Scene::new(kind, standing).cell(verb) => "opened",
                _ => ".",
            };
            table += &format!("{told:<width$}", width = verb.len().max(6) + 2);
        }
        table = table.trim_end().to_owned() + "\n";
    }
    table
}

#[test]
fn libraries() {
    let verbs = [
        "list  ", "inspect", "doctor", "lock  ", "schema", "check ", "train ", "compare", "swap  ", "watch ",
    ];
    insta::assert_snapshot!(table(Kind::Library, &verbs.map(str::trim_end)));
}

#[test]
fn declared_blueprints() {
    insta::assert_snapshot!(table(Kind::Declared, &["check", "train"]));
}

#[test]
fn torchscript_seeds() {
    insta::assert_snapshot!(table(Kind::Seed, &["check", "train"]));
}

#[test]
fn host_modules() {
    insta::assert_snapshot!(table(Kind::Host, &["train"]));
}

/// A run of one epoch with a seed of the marker in it, whose plugin is nowhere but in the run's own copies.
fn stored_run(scene: &Scene) {
    let script = "{\"epoch\":1,\"command\":\"germinate\",\"slot\":\"mid\",\"seed_id\":\"one\",\"blueprint\":\"marker\",\
                  \"blend\":\"linear\"}\n";
    fs::write(scene.path("project/one.jsonl"), script).unwrap();
    let config = format!("controller = \"scripted\"\nscript = \"one.jsonl\"\nslots = [\"mid\"]\n{SMALL}");
    fs::write(scene.path("project/small.toml"), config).unwrap();
    let (_, error, code) = output(scene.train("run"));
    assert_eq!(code, Some(0), "{error}");
    fs::remove_file(scene.file()).unwrap();
    fs::remove_file(scene.path("project/plugins.lock")).unwrap();
}

/// A copy that a run keeps, however it stands, when the run goes on.
#[test]
fn copies_in_a_run() {
    let mut table = String::new();
    let mut row = |words: &str, args: &[&str], change: &dyn Fn(&Scene, &Path)| {
        let scene = Scene::new(Kind::Library, Standing::Pinned);
        stored_run(&scene);
        let copies = scene.path("project/run/plugins");
        let is_marker = |path: &PathBuf| fs::read(path).unwrap() == fs::read(fixture("marker")).unwrap();
        let copy = fs::read_dir(&copies).unwrap().map(|e| e.unwrap().path()).find(is_marker).unwrap();
        change(&scene, &copy);
        let resume = scene.command(&[&["train", "--resume", "run", "--epochs", "2"], args].concat());
        table += &format!("{words:<56}{}\n", if scene.opens(resume) { "opened" } else { "." });
    };
    let nothing = |_: &Scene, _: &Path| {};
    let stranger = |scene: &Scene, _: &Path| fs::remove_dir_all(scene.path("home")).unwrap();
    let chmod = |path: &Path, mode: u32| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    row("run by you before", &[], &nothing);
    row("never run by you", &[], &stranger);
    row("never run by you, --trust-run", &["--trust-run"], &stranger);
    row("run by you before, in a folder that all may write", &[], &|_, copy| {
        chmod(copy.parent().unwrap(), 0o777);
    });
    row("run by you before, a link into such a folder", &[], &|scene, copy| {
        let target = scene.path("open/copy.so");
        fs::rename(copy, &target).unwrap();
        symlink(&target, copy).unwrap();
        chmod(&scene.path("open"), 0o777);
    });
    row("run by you before, then replaced", &[], &|_, copy| {
        let mut bytes = fs::read(copy).unwrap();
        bytes.push(0);
        fs::write(copy, bytes).unwrap();
    });
    row("never run by you, replaced, --trust-run", &["--trust-run"], &|scene, copy| {
        stranger(scene, copy);
        let mut bytes = fs::read(copy).unwrap();
        bytes.push(0);
        fs::write(copy, bytes).unwrap();
    });
    if rustix::process::geteuid().is_root() {
        row("run by you before, of another user", &[], &|_, copy| {
            chown(copy, Some(65_534), Some(65_534)).unwrap();
        });
        row("never run by you, of another user", &[], &|scene, copy| {
            stranger(scene, copy);
            chown(copy, Some(65_534), Some(65_534)).unwrap();
        });
    } else {
        say("SKIPPED copies of another user: only root can give files to another user");
    }
    insta::assert_snapshot!(table);
}
