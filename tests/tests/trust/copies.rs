//! Whether the commands that use a run open its copies of plugins, for each kind of file and each trust
//! state, in one table for each kind.

use crate::scene::{Kind, OTHER_USER, Scene, TrustState, chmod};
use kasmina_tests::{output, say};
use std::fs;
use std::os::unix::fs::{chown, symlink};
use std::path::{Path, PathBuf};

/// Trains one epoch with a seed of the file and removes the file, so that only the run's copy of it remains.
/// A host module is not copied and remains. Returns the path of the copy or the module.
fn run_once(scene: &Scene) -> PathBuf {
    let file = scene.file();
    if scene.kind != Kind::Host {
        let script = format!(
            "{{\"epoch\":1,\"command\":\"germinate\",\"slot\":\"mid\",\"seed_id\":\"one\",\"blueprint\":\"{}\",\
             \"blend\":\"linear\",\"whole\":true}}\n",
            scene.blueprint()
        );
        fs::write(scene.path("project/one.jsonl"), script).unwrap();
        let settings = "controller = \"scripted\"\nscript = \"one.jsonl\"\nslots = [\"mid\"]\n";
        fs::write(scene.path("project/small.toml"), format!("{settings}{}", scene.config())).unwrap();
    }
    let (_, error, code) = output(scene.train("run"));
    assert_eq!(code, Some(0), "{error}");
    fs::remove_file(scene.path("project/plugins.lock")).unwrap();
    if scene.kind == Kind::Host {
        return file;
    }
    let bytes = fs::read(&file).unwrap();
    let copies = fs::read_dir(scene.path("project/run/plugins")).unwrap().map(|entry| entry.unwrap().path());
    let copy = copies.into_iter().find(|copy| fs::read(copy).unwrap() == bytes).unwrap();
    fs::remove_file(&file).unwrap();
    copy
}

/// Removes the user's home, and with it the record of the files that their own runs have used.
fn forget_own_runs(scene: &Scene) {
    fs::remove_dir_all(scene.path("home")).unwrap();
}

/// Replaces the bytes of the copy by others with the same meaning.
fn replace(scene: &Scene, copy: &Path) {
    if scene.kind == Kind::Host {
        scene.write(copy, "other");
        return;
    }
    let mut bytes = fs::read(copy).unwrap();
    bytes.push(b'\n');
    fs::write(copy, bytes).unwrap();
}

/// Commands that use the network of a run. Resuming is the last, because it changes the run.
const VERBS: [&str; 3] = ["eval", "export", "resume"];

/// Whether a command opens the copy.
fn opens(scene: &Scene, verb: &str, args: &[&str]) -> bool {
    let command: &[&str] = match verb {
        "eval" => &["eval", "run"],
        "export" => {
            let _ = fs::remove_dir_all(scene.path("project/net"));
            let (_, error, _) = output(scene.command(&[&["export", "run", "--to", "net"], args].concat()));
            // Only what has been opened can lack a source.
            return scene.path("project/net").exists() || error.contains("no PyTorch source");
        }
        _ => &["train", "--resume", "run", "--epochs", "2"],
    };
    scene.opens(scene.command(&[command, args].concat()))
}

/// One row for each state of the copy.
fn table(kind: Kind) -> String {
    let mut table = format!("{:<56}", "");
    for verb in VERBS {
        table += &format!("{verb:<9}");
    }
    table = table.trim_end().to_owned() + "\n";
    let mut row = |words: &str, args: &[&str], change: &dyn Fn(&Scene, &Path)| {
        let scene = Scene::new(kind, TrustState::Pinned);
        let copy = run_once(&scene);
        change(&scene, &copy);
        table += &format!("{words:<56}");
        for verb in VERBS {
            table += &format!("{:<9}", if opens(&scene, verb, args) { "opened" } else { "." });
        }
        table = table.trim_end().to_owned() + "\n";
    };
    row("run by you before", &[], &|_, _| {});
    row("never run by you", &[], &|scene, _| forget_own_runs(scene));
    row("never run by you, --trust-run", &["--trust-run"], &|scene, _| forget_own_runs(scene));
    row("run by you before, in a folder that all may write", &[], &|_, copy| {
        chmod(copy.parent().unwrap(), 0o777);
    });
    row("run by you before, a link into such a folder", &[], &|scene, copy| {
        let target = scene.path("open").join(copy.file_name().unwrap());
        fs::rename(copy, &target).unwrap();
        symlink(&target, copy).unwrap();
        chmod(&scene.path("open"), 0o777);
    });
    row("run by you before, then replaced", &[], &replace);
    row("never run by you, replaced, --trust-run", &["--trust-run"], &|scene, copy| {
        forget_own_runs(scene);
        replace(scene, copy);
    });
    if rustix::process::geteuid().is_root() {
        row("run by you before, of another user", &[], &|_, copy| {
            chown(copy, Some(OTHER_USER), Some(OTHER_USER)).unwrap();
        });
        row("never run by you, of another user", &[], &|scene, copy| {
            forget_own_runs(scene);
            chown(copy, Some(OTHER_USER), Some(OTHER_USER)).unwrap();
        });
    } else {
        say("SKIPPED copies of another user: only root can give files to another user");
    }
    table
}

/// docs/security.md: 6
#[test]
fn libraries() {
    insta::assert_snapshot!(table(Kind::Library));
}

/// docs/security.md: 6
#[test]
fn declared_blueprints() {
    insta::assert_snapshot!(table(Kind::Declared));
}

/// docs/security.md: 6
#[test]
fn torchscript_seeds() {
    insta::assert_snapshot!(table(Kind::Seed));
}

/// docs/security.md: 6
#[test]
fn host_modules() {
    insta::assert_snapshot!(table(Kind::Host));
}
