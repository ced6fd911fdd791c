//! Every kind of file, however it stands, in every command: opened or not, in one table a kind.
//!
//! A library leaves a mark when it is opened. What is interpreted leaves none: there it counts whether the
//! command used it. `list`, `inspect`, `doctor` and `lock` only read such a file.

use crate::scene::{Kind, Scene, Standing};
use kasmina_tests::{output, say};
use std::fs;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

/// How long a run may take to begin.
const PATIENCE: Duration = Duration::from_mins(2);

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
        // Into a run that has not loaded it.
        "swap" => in_a_live_run(scene, &[], || {
            let _ = output(scene.command(&["plugins", "swap", "live", scene.name()]));
        }),
        // Into a run that watches another file of the same folder, while this one comes to lie there again.
        "watch" => in_a_live_run(scene, &["--watch=plugins/other.so"], || {
            let bytes = fs::read(scene.file()).unwrap_or_default();
            let _ = fs::write(scene.file(), bytes);
            std::thread::sleep(Duration::from_secs(1));
        }),
        other => scene.opens(scene.command(&["plugins", other])),
    }
}

/// Whether something that is done to a live run makes it open the file, which lies there since the run has
/// begun.
fn in_a_live_run(scene: &Scene, args: &[&str], act: impl FnOnce()) -> bool {
    let (file, aside) = (scene.file(), scene.path("aside"));
    fs::rename(&file, &aside).unwrap_or(());
    let mut command =
        scene.command(&["train", "--config", "small.toml", "--epochs", "100000", "--out", "live"]);
    command.args(["--no-checkpoints"]).args(args).stdout(Stdio::null()).stderr(Stdio::null());
    let live = Ended(command.spawn().unwrap());
    let begun = Instant::now();
    while !scene.path("project/live/control.sock").exists() {
        assert!(begun.elapsed() < PATIENCE, "the run does not listen");
        std::thread::sleep(Duration::from_millis(10));
    }
    fs::rename(&aside, &file).unwrap_or(());
    let _ = fs::remove_file(scene.path("mark"));
    act();
    drop(live);
    // What a run takes in is written down before.
    let journal = fs::read_to_string(scene.path("project/live/control.jsonl")).unwrap();
    let opened = if scene.kind == Kind::Library { scene.is_marked() } else { journal.contains("\"swap\"") };
    fs::remove_dir_all(scene.path("project/live")).unwrap();
    opened
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
    let mut table = format!("{:<40}", "");
    for verb in verbs {
        table += &format!("{verb:<8}");
    }
    table = table.trim_end().to_owned() + "\n";
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
                _ if opens(&Scene::new(kind, standing), verb) => "opened",
                _ => ".",
            };
            table += &format!("{told:<8}");
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

/// A command opens no plugin that it does not need.
///
/// docs/security.md: 7
#[test]
fn what_is_part_of_the_program_needs_no_plugin() {
    let scene = Scene::new(Kind::Library, Standing::Pinned);
    for id in ["core::noop", "noop", "core::linear", "core::grafted"] {
        let (out, error, code) = output(scene.command(&["plugins", "schema", id]));
        assert_eq!(code, Some(0), "{out}{error}");
        assert!(!scene.is_marked(), "{id}");
    }
    assert!(scene.opens(scene.command(&["plugins", "schema", "marker"])));
}
