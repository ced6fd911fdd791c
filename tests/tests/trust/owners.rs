//! Files of other users, and places that other users can write.

use crate::project::Project;
use kasmina_tests::say;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::Path;

/// Another user than the one who runs the tests.
const STRANGER: u32 = 65_534;

/// Whether a test may give files away; it says loudly that it was skipped where it may not.
fn may_give_away(test: &str) -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        say(&format!("SKIPPED {test}: only root can give files to another user"));
    }
    root
}

fn give_away(path: &Path) {
    chown(path, Some(STRANGER), Some(STRANGER)).unwrap();
}

fn chmod(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_file_of_another_user_needs_a_word_about_its_bytes() {
    if !may_give_away("a_file_of_another_user_needs_a_word_about_its_bytes") {
        return;
    }
    let project = Project::new();
    let file = "plugins/libgated.so";
    for path in ["plugins", file] {
        give_away(&project.path(path));
    }
    let schema = |more: &[&str]| project.says(&[&["plugins", "schema", "gate_net"], more].concat());
    let refused = schema(&["--allow-unsigned"]);
    assert!(refused.contains("belongs to another user (id 65534)"), "{refused}");
    assert!(project.says(&["plugins", "lock", file]).contains("written: plugins.lock"));
    let accepted = schema(&[]);
    assert!(accepted.contains("hidden"), "{accepted}");
}

/// A cloned project under another account: its owner's `plugins` and lock file, in a sticky folder that both may write.
#[test]
fn a_project_of_another_user_does_not_vouch_for_itself() {
    if !may_give_away("a_project_of_another_user_does_not_vouch_for_itself") {
        return;
    }
    let project = Project::new();
    project.says(&["plugins", "lock", "plugins/libgated.so"]);
    std::fs::remove_dir_all(project.path(".local")).unwrap();
    for path in ["", "plugins", "plugins/libgated.so", "plugins.lock"] {
        give_away(&project.path(path));
    }
    let told = project.says(&["plugins", "schema", "gate_net"]);
    assert!(
        told.contains("no entry `gate_net`") && told.contains("you have not confirmed the lock file"),
        "{told}"
    );
}

#[test]
fn plugins_beside_the_program_must_be_its_owners() {
    if !may_give_away("plugins_beside_the_program_must_be_its_owners") {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let bin = home.path().join("bin");
    std::fs::create_dir_all(bin.join("plugins")).unwrap();
    std::fs::copy(kasmina_tests::built().join("kasmina"), bin.join("kasmina")).unwrap();
    let plugin = bin.join("plugins/libkasmina_blends.so");
    std::fs::copy(kasmina_tests::shipped("kasmina_blends"), &plugin).unwrap();
    chmod(&bin, 0o1777);
    let list = || {
        let mut command = std::process::Command::new(bin.join("kasmina"));
        command.env_clear().env("HOME", home.path()).current_dir(home.path()).args(["plugins", "list"]);
        kasmina_tests::output(command).0
    };
    assert!(list().contains("bundled"), "{}", list());
    give_away(&bin.join("plugins"));
    give_away(&plugin);
    let told = list();
    assert!(!told.contains("bundled") && told.contains("belongs to another user"), "{told}");
    // Whoever owns the program may ship plugins with it.
    give_away(&bin.join("kasmina"));
    assert!(list().contains("bundled"), "{}", list());
}

#[test]
fn keys_that_others_could_have_put_there_are_none() {
    let project = Project::new();
    project.says(&["plugins", "keygen", "alice", "--no-password"]);
    project.says(&["plugins", "trust", "add", "alice", "alice.pub"]);
    project.says(&["plugins", "sign", "plugins/libgated.so", "--key", "alice.key"]);
    chmod(&project.path(".config/kasmina/keys"), 0o777);
    let told = project.says(&["plugins", "list"]);
    assert!(told.contains("everybody may write .config/kasmina/keys"), "{told}");
    assert!(project.says(&["plugins", "trust", "list"]).contains("[1]"));
}

#[test]
fn a_folder_far_above_that_everybody_may_write_is_found() {
    let project = Project::new();
    std::fs::create_dir_all(project.path("open/inner/plugins")).unwrap();
    let file = project.path("open/inner/plugins/libgated.so");
    std::fs::copy(project.path("plugins/libgated.so"), &file).unwrap();
    chmod(&project.path("open"), 0o777);
    let told = project.says(&["plugins", "inspect", "open/inner/plugins/libgated.so"]);
    assert!(told.contains("exposed") && told.contains("everybody may write"), "{told}");
    // Nobody takes away from a sticky folder what is not theirs.
    chmod(&project.path("open"), 0o1777);
    let told = project.says(&["plugins", "inspect", "open/inner/plugins/libgated.so"]);
    assert!(!told.contains("exposed"), "{told}");
}
