//! Files of other users, and files and folders that other users can write.

use crate::project::Project;
use crate::scene::{OTHER_USER, chmod};
use kasmina_tests::say;
use std::os::unix::fs::chown;
use std::path::Path;

/// Whether the tests run as root and can give files to another user. Otherwise prints that the test is
/// skipped.
fn may_give_away(test: &str) -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        say(&format!("SKIPPED {test}: only root can give files to another user"));
    }
    root
}

fn give_away(path: &Path) {
    chown(path, Some(OTHER_USER), Some(OTHER_USER)).unwrap();
}

/// docs/security.md: 12
#[test]
fn a_file_of_another_user_needs_a_pin() {
    if !may_give_away("a_file_of_another_user_needs_a_pin") {
        return;
    }
    let project = Project::new();
    let file = "plugins/libgated.so";
    for path in ["plugins", file] {
        give_away(&project.path(path));
    }
    let schema = |more: &[&str]| project.transcript(&[&["plugins", "schema", "gate_net"], more].concat());
    insta::assert_snapshot!(schema(&["--allow-unsigned"]));
    assert!(project.transcript(&["plugins", "lock", file]).contains("wrote plugins.lock"));
    let accepted = schema(&[]);
    assert!(accepted.contains("hidden"), "{accepted}");
}

/// A project whose folder, plugin and lock file belong to another user.
#[test]
fn a_project_of_another_user_does_not_vouch_for_itself() {
    if !may_give_away("a_project_of_another_user_does_not_vouch_for_itself") {
        return;
    }
    let project = Project::new();
    project.transcript(&["plugins", "lock", "plugins/libgated.so"]);
    std::fs::remove_dir_all(project.path(".local")).unwrap();
    for path in ["", "plugins", "plugins/libgated.so", "plugins.lock"] {
        give_away(&project.path(path));
    }
    let printed = project.transcript(&["plugins", "schema", "gate_net"]);
    insta::assert_snapshot!(printed);
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
    let printed = list();
    assert!(!printed.contains("bundled") && printed.contains("belongs to another user"), "{printed}");
    // Plugins beside the program are trusted if they belong to the program's owner.
    give_away(&bin.join("kasmina"));
    assert!(list().contains("bundled"), "{}", list());
}

/// docs/security.md: 13
#[test]
fn keys_in_a_world_writable_folder_are_ignored() {
    let project = Project::new();
    project.transcript(&["plugins", "keygen", "alice", "--no-password"]);
    project.transcript(&["plugins", "trust", "add", "alice", "alice.pub"]);
    project.transcript(&["plugins", "sign", "plugins/libgated.so", "--key", "alice.key"]);
    chmod(&project.path(".config/kasmina/keys"), 0o777);
    let printed = project.transcript(&["plugins", "list"]);
    insta::assert_snapshot!(printed + &project.transcript(&["plugins", "trust", "list"]));
}

/// docs/security.md: 9, 10
#[test]
fn a_world_writable_ancestor_folder_is_found() {
    let project = Project::new();
    std::fs::create_dir_all(project.path("open/inner/plugins")).unwrap();
    let file = project.path("open/inner/plugins/libgated.so");
    std::fs::copy(project.path("plugins/libgated.so"), &file).unwrap();
    chmod(&project.path("open"), 0o777);
    let printed = project.transcript(&["plugins", "inspect", "open/inner/plugins/libgated.so"]);
    insta::assert_snapshot!(printed);
    // In a sticky folder, other users cannot replace files.
    chmod(&project.path("open"), 0o1777);
    let printed = project.transcript(&["plugins", "inspect", "open/inner/plugins/libgated.so"]);
    assert!(!printed.contains("exposed"), "{printed}");
}

/// In a file with an access control list, the group permissions are the mask of the list.
///
/// docs/security.md: 11
#[test]
fn an_access_list_that_lets_others_write_is_found() {
    use rustix::fs::{XattrFlags, setxattr};
    let project = Project::new();
    project.transcript(&["plugins", "lock", "plugins/libgated.so"]);
    // Version 2, then entries of tag, permissions and id: the owner, one more user, the group, the mask, all
    // others.
    let mut list = 2_u32.to_le_bytes().to_vec();
    let entries: [(u16, u16, u32); 5] =
        [(1, 6, u32::MAX), (2, 6, OTHER_USER), (4, 6, u32::MAX), (16, 6, u32::MAX), (32, 4, u32::MAX)];
    for (tag, permissions, id) in entries {
        list.extend(tag.to_le_bytes());
        list.extend(permissions.to_le_bytes());
        list.extend(id.to_le_bytes());
    }
    let file = project.path("plugins/libgated.so");
    match setxattr(&file, c"system.posix_acl_access", &list, XattrFlags::empty()) {
        Err(rustix::io::Errno::NOTSUP) => say("SKIPPED access control lists: this file system has none"),
        set => {
            set.unwrap();
            insta::assert_snapshot!(project.transcript(&["plugins", "schema", "gate_net"]));
        }
    }
}
