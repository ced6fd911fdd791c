//! Lock files: one that comes with a project is not trusted until its user confirms it; what `lock` pins.

use crate::project::Project;
use kasmina_tests::output;

/// Runs a command in a project as another user, that is, with another home.
fn as_other_user(project: &Project, args: &[&str]) -> (String, String, Option<i32>) {
    let home = project.path("stranger");
    std::fs::create_dir_all(&home).unwrap();
    let mut command = project.command(args);
    command.env("HOME", &home);
    output(command)
}

/// docs/security.md: 2
#[test]
fn a_lock_file_of_somebody_else_needs_confirmation() {
    let project = Project::new();
    project.transcript(&["plugins", "lock", "plugins/libgated.so"]);
    let mut printed = String::new();
    let mut run = |args: &[&str]| {
        let (out, err, code) = as_other_user(&project, args);
        printed += &format!("$ kasmina {}\n{out}{err}[{}]\n", args.join(" "), code.unwrap_or(-1));
    };
    run(&["plugins", "schema", "gate_net"]);
    run(&["plugins", "lock"]);
    run(&["plugins", "trust", "project"]);
    run(&["plugins", "trust", "project", "--list"]);
    run(&["plugins", "trust", "project", "--yes"]);
    run(&["plugins", "trust", "project", "--list"]);
    run(&["plugins", "schema", "gate_net"]);
    // A changed lock file needs a new confirmation.
    let lock = project.path("plugins.lock");
    let text = std::fs::read_to_string(&lock).unwrap();
    std::fs::write(&lock, format!("{text}\n# a word more\n")).unwrap();
    run(&["plugins", "schema", "gate_net"]);
    std::fs::write(&lock, text).unwrap();
    run(&["plugins", "trust", "project", "--forget"]);
    run(&["plugins", "schema", "gate_net"]);
    let printed = project.without_its_path(&printed);
    insta::assert_snapshot!(crate::project::redacted(&printed));
}

#[test]
fn an_environment_variable_names_trusted_projects() {
    let project = Project::new();
    project.transcript(&["plugins", "lock", "plugins/libgated.so"]);
    let home = project.path("stranger");
    std::fs::create_dir_all(&home).unwrap();
    let with = |folder: &std::path::Path| {
        let mut command = project.command(&["plugins", "schema", "gate_net"]);
        command.env("HOME", &home).env("KASMINA_TRUSTED_PROJECTS", folder);
        output(command).2
    };
    assert_eq!(with(&home), Some(1), "another folder is not the project");
    assert_eq!(with(&project.path("")), Some(0));
}

/// No pin is added to an unconfirmed lock file: confirming the pin would confirm everything in the file.
///
/// docs/security.md: 3
#[test]
fn unsigned_files_are_not_pinned_in_a_lock_file_of_somebody_else() {
    let project = Project::new();
    std::fs::write(project.path("plugins.lock"), "format = 1\n").unwrap();
    assert_eq!(as_other_user(&project, &["plugins", "schema", "gate_net", "--allow-unsigned"]).2, Some(0));
    assert_eq!(std::fs::read_to_string(project.path("plugins.lock")).unwrap(), "format = 1\n");
    assert_eq!(as_other_user(&project, &["plugins", "schema", "gate_net"]).2, Some(1));
    // A plugin that the lock file pins to other bytes stays refused, even with the flag.
    std::fs::remove_file(project.path("plugins.lock")).unwrap();
    project.transcript(&["plugins", "lock", "plugins/libgated.so"]);
    project.build(1);
    let (_, error, code) = as_other_user(&project, &["plugins", "schema", "gate_net", "--allow-unsigned"]);
    assert_eq!(code, Some(1));
    insta::assert_snapshot!(crate::project::redacted(&error));
}

#[test]
fn a_lock_file_named_by_a_flag_is_trusted() {
    let project = Project::new();
    project.transcript(&["plugins", "lock", "plugins/libgated.so"]);
    let lock = ["plugins", "schema", "gate_net", "--lock", "plugins.lock"];
    assert_eq!(as_other_user(&project, &lock).2, Some(0));
}

#[test]
fn a_duplicate_entry_in_a_lock_file_is_refused() {
    let project = Project::new();
    project.transcript(&["plugins", "lock", "plugins/libgated.so"]);
    let lock = project.path("plugins.lock");
    let text = std::fs::read_to_string(&lock).unwrap();
    let entry = &text[text.find("[[plugin]]").unwrap()..];
    std::fs::write(&lock, format!("{text}\n{entry}")).unwrap();
    let (_, error, code) = as_other_user(&project, &["plugins", "list"]);
    assert_eq!(code, Some(1));
    insta::assert_snapshot!(error);
}

/// `lock` without names renews pins that are still justified, and adds none.
///
/// docs/security.md: 4
#[test]
fn locking_without_names_pins_nothing_new() {
    let project = Project::new();
    let printed = project.transcript(&["plugins", "lock"]);
    insta::assert_snapshot!("locking_everything_at_first", printed);
    let lock = std::fs::read_to_string(project.path("plugins.lock")).unwrap_or_default();
    assert!(!lock.contains("fixture_gated"), "{lock}");
    // The pinned signer is kept even if the file has no signature any more.
    project.transcript(&["plugins", "keygen", "alice", "--no-password"]);
    project.transcript(&["plugins", "trust", "add", "alice", "alice.pub"]);
    project.transcript(&["plugins", "sign", "plugins/libgated.so", "--key", "alice.key"]);
    project.transcript(&["plugins", "lock"]);
    let signed = std::fs::read_to_string(project.path("plugins.lock")).unwrap();
    assert!(signed.contains("alice"), "{signed}");
    std::fs::remove_file(project.path("plugins/libgated.so.minisig")).unwrap();
    project.build(1);
    let printed = project.transcript(&["plugins", "lock"]);
    insta::assert_snapshot!("locking_everything_without_the_signature", printed);
    assert_eq!(std::fs::read_to_string(project.path("plugins.lock")).unwrap(), signed);
    // A new build signed by the same key is pinned.
    project.transcript(&["plugins", "sign", "plugins/libgated.so", "--key", "alice.key"]);
    let printed = project.transcript(&["plugins", "lock"]);
    insta::assert_snapshot!("locking_everything_signed_again", printed);
}

#[test]
fn two_files_of_one_plugin_are_not_locked() {
    let project = Project::new();
    std::fs::copy(project.path("plugins/libgated.so"), project.path("other.so")).unwrap();
    let printed = project.transcript(&["plugins", "lock", "plugins/libgated.so", "other.so"]);
    insta::assert_snapshot!(printed);
    assert!(!project.path("plugins.lock").exists());
}

/// While a process uses a file for the first time, another process pins other bytes.
///
/// docs/security.md: 5
#[test]
fn a_pin_that_another_process_adds_is_not_replaced() {
    use kasmina_registry::child::{Limits, Program};
    use kasmina_registry::{Origin, Policy, Registry, SearchPath, lock::Lock};
    let project = Project::new();
    let (file, lock) = (project.path("plugins/libgated.so"), project.path("plugins.lock"));
    // The script that is run as the child process pins other bytes before it tries the build.
    let script = project.path("meanwhile.sh");
    let child = kasmina_tests::built().join("kasmina-alone/kasmina");
    let other = project.path("other.so");
    let mut bytes = std::fs::read(&file).unwrap();
    bytes.push(7);
    std::fs::write(&other, bytes).unwrap();
    let text = format!(
        "#!/bin/sh\n{kasmina} plugins lock {other} --lock {lock} </dev/null >/dev/null 2>&1\nexec {kasmina} \"$@\"\n",
        kasmina = child.display(),
        other = other.display(),
        lock = lock.display(),
    );
    std::fs::write(&script, text).unwrap();
    let program = Program::new("/bin/sh", [script.as_os_str(), "__child".as_ref()]);
    let policy = Policy::standard()
        .with_lock(&lock)
        .with_state(&project.path("state"))
        .allowing_unsigned(true)
        .probing(program, Limits::default());
    let mut path = SearchPath::empty();
    path.extend([file], Origin::Named);
    let error = Registry::load(&path, &policy).unwrap_err().to_string();
    insta::assert_snapshot!(project.without_its_path(&error));
    let pinned = Lock::read(&lock).unwrap();
    let pinned = pinned.find("fixture_gated").unwrap().sha256.values().next().unwrap().clone();
    assert_eq!(pinned, kasmina_registry::hash_of(&other).unwrap());
}
