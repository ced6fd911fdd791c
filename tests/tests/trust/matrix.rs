//! Whether each command opens a file, for each kind of file and each trust state, in one table for each kind.
//!
//! A library writes a mark when it is opened. An interpreted file counts as opened if the command succeeds
//! with it; `list`, `inspect`, `doctor` and `lock` only read such a file.

use crate::scene::{Kind, Scene, TrustState};
use kasmina_tests::{output, say};
use std::fs;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

/// Time limit for the start of a run.
const TIMEOUT: Duration = Duration::from_mins(2);

/// Whether a command opens the file.
fn opens(scene: &Scene, verb: &str) -> bool {
    match verb {
        "train" => scene.opens(scene.train("run")),
        "compare" => {
            let compare = "seeds = 1\ntuning_seeds = 1\nrates = [1e-2]\n\n[run]\n";
            let blueprint = format!("blueprint = \"{}\"\n", scene.blueprint());
            let run = scene.config().replace("\n[", "\n[run.");
            fs::write(scene.path("project/compare.toml"), format!("{compare}{blueprint}{run}")).unwrap();
            scene.opens(scene.command(&["compare", "compare.toml", "--out", "compared", "--jobs", "1"]))
        }
        "schema" => scene.opens(scene.command(&["plugins", "schema", scene.blueprint()])),
        "check" => scene.opens(scene.command(&["plugins", "check", scene.name(), "--only", "listing"])),
        "inspect" => scene.opens(scene.command(&["plugins", "inspect", scene.name()])),
        // In a run that has not loaded the file.
        "swap" => in_a_live_run(scene, &[], || {
            let _ = output(scene.command(&["plugins", "swap", "live", scene.name()]));
        }),
        // In a run that watches another file of the same folder, while this file is written again.
        "watch" => in_a_live_run(scene, &["--watch=plugins/other.so"], || {
            let bytes = fs::read(scene.file()).unwrap_or_default();
            let _ = fs::write(scene.file(), bytes);
            std::thread::sleep(Duration::from_secs(1));
        }),
        other => scene.opens(scene.command(&["plugins", other])),
    }
}

/// Whether an action on a live run makes it open the file. The file is put in its place after the run has
/// begun.
fn in_a_live_run(scene: &Scene, args: &[&str], act: impl FnOnce()) -> bool {
    let (file, aside) = (scene.file(), scene.path("aside"));
    fs::rename(&file, &aside).unwrap_or(());
    let mut command =
        scene.command(&["train", "--config", "small.toml", "--epochs", "100000", "--out", "live"]);
    command.args(["--no-checkpoints"]).args(args).stdout(Stdio::null()).stderr(Stdio::null());
    let live = KilledOnDrop(command.spawn().unwrap());
    let begun = Instant::now();
    while !scene.path("project/live/control.sock").exists() {
        assert!(begun.elapsed() < TIMEOUT, "the run does not listen");
        std::thread::sleep(Duration::from_millis(10));
    }
    fs::rename(&aside, &file).unwrap_or(());
    let _ = fs::remove_file(scene.path("mark"));
    act();
    drop(live);
    // A swap is written to the journal before the run adopts the build.
    let journal = fs::read_to_string(scene.path("project/live/control.jsonl")).unwrap();
    let opened = if scene.kind == Kind::Library { scene.is_marked() } else { journal.contains("\"swap\"") };
    fs::remove_dir_all(scene.path("project/live")).unwrap();
    opened
}

/// A process that is killed when this value is dropped.
struct KilledOnDrop(Child);

impl Drop for KilledOnDrop {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// One row for each trust state, one column for each command.
fn table(kind: Kind, verbs: &[&str]) -> String {
    let mut table = format!("{:<40}", "");
    for verb in verbs {
        table += &format!("{verb:<8}");
    }
    table = table.trim_end().to_owned() + "\n";
    for (state, words) in TrustState::ALL {
        let root = rustix::process::geteuid().is_root();
        if state.needs_root() && !root {
            say(&format!("SKIPPED `{words}`: only root can give files to another user"));
            continue;
        }
        // A host module is never bundled, and has no version to sign.
        if kind == Kind::Host && matches!(state, TrustState::Bundled | TrustState::Signed) {
            continue;
        }
        table += &format!("{words:<40}");
        for verb in verbs {
            let cell = match state {
                // A bundled file is not in the project.
                TrustState::Bundled if matches!(*verb, "inspect" | "check" | "swap" | "watch") => "-",
                _ if opens(&Scene::new(kind, state), verb) => "opened",
                _ => ".",
            };
            table += &format!("{cell:<8}");
        }
        table = table.trim_end().to_owned() + "\n";
    }
    table
}

/// docs/security.md: 1, 7
#[test]
fn libraries() {
    let verbs = ["list", "inspect", "doctor", "lock", "schema", "check", "train", "compare", "swap", "watch"];
    insta::assert_snapshot!(table(Kind::Library, &verbs));
}

/// docs/security.md: 1
#[test]
fn declared_blueprints() {
    insta::assert_snapshot!(table(Kind::Declared, &["schema", "check", "train", "compare", "swap"]));
}

/// docs/security.md: 1
#[test]
fn torchscript_seeds() {
    insta::assert_snapshot!(table(Kind::Seed, &["schema", "check", "train", "compare", "swap"]));
}

/// docs/security.md: 1, 18
#[test]
fn host_modules() {
    insta::assert_snapshot!(table(Kind::Host, &["train", "compare"]));
}

/// A command that needs only built-in entries opens no plugin.
///
/// docs/security.md: 7
#[test]
fn a_built_in_entry_opens_no_plugin() {
    let scene = Scene::new(Kind::Library, TrustState::Pinned);
    for id in ["core::noop", "noop", "core::linear", "core::grafted"] {
        let (out, error, code) = output(scene.command(&["plugins", "schema", id]));
        assert_eq!(code, Some(0), "{out}{error}");
        assert!(!scene.is_marked(), "{id}");
    }
    assert!(scene.opens(scene.command(&["plugins", "schema", "marker"])));
}
