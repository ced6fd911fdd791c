//! A program with its plugins, and a project with one file of a given kind and trust state.

use kasmina_tests::{built, fixture, output, shipped};
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use tch::{CModule, Device, Tensor};

/// Id of another user than the one who runs the tests.
pub(crate) const OTHER_USER: u32 = 65_534;
/// Settings of a short run.
pub(crate) const SHORT_RUN: &str =
    "epochs = 1\ndevice = \"cpu\"\n[data]\ntrain_samples = 60\nvalidation_samples = 40\n";
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

/// Sets the permissions of a file or folder.
pub(crate) fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Kinds of files with code: a library, a declared blueprint, a TorchScript seed, a host module.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Library,
    Declared,
    Seed,
    Host,
}

/// Trust state of a file; [`TrustState::ALL`] describes each.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum TrustState {
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

impl TrustState {
    pub(crate) const ALL: [(Self, &'static str); 10] = [
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

    pub(crate) fn needs_root(self) -> bool {
        matches!(self, Self::Foreign | Self::ForeignPinned)
    }
}

/// A program with its plugins, a home, and a project with one file in it.
pub(crate) struct Scene {
    folder: tempfile::TempDir,
    pub(crate) kind: Kind,
}

impl Scene {
    pub(crate) fn new(kind: Kind, state: TrustState) -> Self {
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
        scene.place(state);
        scene
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Path of the file, relative to the project.
    pub(crate) fn name(&self) -> &'static str {
        match self.kind {
            Kind::Library => "plugins/libmarker.so",
            Kind::Declared => "plugins/one.blueprint.toml",
            Kind::Seed => "plugins/one.pt",
            Kind::Host => "net.pt",
        }
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.path("project").join(self.name())
    }

    /// Returns the settings of a short run.
    pub(crate) fn config(&self) -> String {
        if self.kind != Kind::Host {
            return SHORT_RUN.to_owned();
        }
        format!(
            "{SHORT_RUN}[host]\nid = \"core::grafted\"\n[host.config]\nmodule = \"net.pt\"\nslots = [\"body.*\"]\n\
             [growth]\nfirst_epoch = 9\n"
        )
        .replace("epochs = 1\n", "epochs = 1\ndisable_seeds = true\n")
    }

    /// Writes a file of this kind; another `mark` makes other bytes.
    pub(crate) fn write(&self, to: &Path, mark: &str) {
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

    /// Writes the file and brings it into a trust state.
    fn place(&self, state: TrustState) {
        let file = self.file();
        self.write(&file, "");
        let quietly = |args: &[&str]| {
            let (_, error, code) = output(self.command(args));
            assert_eq!(code, Some(0), "{args:?}: {error}");
        };
        match state {
            TrustState::Unsigned => {}
            TrustState::Bundled => {
                let beside = self.path("bin/plugins");
                for entry in fs::read_dir(self.path("project/plugins")).unwrap().flatten() {
                    fs::rename(entry.path(), beside.join(entry.file_name())).unwrap();
                }
            }
            TrustState::Signed => {
                quietly(&["plugins", "keygen", "me", "--no-password"]);
                quietly(&["plugins", "trust", "add", "me", "me.pub"]);
                quietly(&["plugins", "sign", self.name(), "--key", "me.key"]);
            }
            TrustState::Pinned => quietly(&["plugins", "lock", self.name()]),
            TrustState::Foreign | TrustState::ForeignPinned => {
                if state == TrustState::ForeignPinned {
                    quietly(&["plugins", "lock", self.name()]);
                }
                chown(&file, Some(OTHER_USER), Some(OTHER_USER)).unwrap();
            }
            TrustState::OpenParent => {
                quietly(&["plugins", "lock", self.name()]);
                chmod(file.parent().unwrap(), 0o777);
            }
            TrustState::OpenTarget => {
                quietly(&["plugins", "lock", self.name()]);
                let target = self.path("open").join(file.file_name().unwrap());
                fs::rename(&file, &target).unwrap();
                symlink(&target, &file).unwrap();
                chmod(&self.path("open"), 0o777);
            }
            TrustState::Swapped => {
                quietly(&["plugins", "lock", self.name()]);
                self.write(&file, "other");
            }
            TrustState::LockOfAnother => {
                quietly(&["plugins", "lock", self.name()]);
                fs::remove_dir_all(self.path("home")).unwrap();
            }
        }
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(self.path("bin/kasmina"));
        command.env_clear().env("HOME", self.path("home")).env("KASMINA_TEST_OPENED", self.path("mark"));
        command.current_dir(self.path("project")).args(args);
        command
    }

    /// Runs a command. Returns whether it opened the library, or, for an interpreted file, whether it
    /// succeeded.
    pub(crate) fn opens(&self, command: Command) -> bool {
        let _ = fs::remove_file(self.path("mark"));
        let (_, _, code) = output(command);
        if self.kind == Kind::Library { self.is_marked() } else { code == Some(0) }
    }

    /// Whether the library was opened since the mark was last removed.
    pub(crate) fn is_marked(&self) -> bool {
        self.path("mark").exists()
    }

    /// Id of the file's blueprint, or of a shipped one if the file is a host.
    pub(crate) fn blueprint(&self) -> &'static str {
        match self.kind {
            Kind::Library => "marker",
            Kind::Declared => "declared-one",
            Kind::Seed => "scripted-one",
            Kind::Host => "norm",
        }
    }

    pub(crate) fn train(&self, out: &str) -> Command {
        let blueprint = self.blueprint();
        self.command(&["train", "--config", "small.toml", "--blueprint", blueprint, "--out", out])
    }
}

/// Returns a TorchScript module that works as a seed: it doubles its input.
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
