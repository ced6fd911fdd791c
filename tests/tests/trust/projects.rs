//! A lock file that came with a project vouches for nothing until its user has said yes to it.

use crate::project::Project;
use kasmina_tests::output;

/// Somebody else's view of a project: the same files, a home of their own.
fn stranger(project: &Project, args: &[&str]) -> (String, String, Option<i32>) {
    let home = project.path("stranger");
    std::fs::create_dir_all(&home).unwrap();
    let mut command = project.command(args);
    command.env("HOME", &home);
    output(command)
}

/// docs/security.md: 2
#[test]
fn a_lock_file_of_somebody_else_is_a_question() {
    let project = Project::new();
    project.says(&["plugins", "lock", "plugins/libgated.so"]);
    let mut told = String::new();
    let mut say = |args: &[&str]| {
        let (out, err, code) = stranger(&project, args);
        told += &format!("$ kasmina {}\n{out}{err}[{}]\n", args.join(" "), code.unwrap_or(-1));
    };
    say(&["plugins", "schema", "gate_net"]);
    say(&["plugins", "lock"]);
    say(&["plugins", "trust", "project"]);
    say(&["plugins", "trust", "project", "--list"]);
    say(&["plugins", "trust", "project", "--yes"]);
    say(&["plugins", "trust", "project", "--list"]);
    say(&["plugins", "schema", "gate_net"]);
    // Another text is another question.
    let lock = project.path("plugins.lock");
    let text = std::fs::read_to_string(&lock).unwrap();
    std::fs::write(&lock, format!("{text}\n# a word more\n")).unwrap();
    say(&["plugins", "schema", "gate_net"]);
    std::fs::write(&lock, text).unwrap();
    say(&["plugins", "trust", "project", "--forget"]);
    say(&["plugins", "schema", "gate_net"]);
    let told = project.without_its_path(&told);
    insta::assert_snapshot!(crate::project::redacted(&told));
}

#[test]
fn a_ci_job_names_the_projects_that_it_trusts() {
    let project = Project::new();
    project.says(&["plugins", "lock", "plugins/libgated.so"]);
    let home = project.path("stranger");
    std::fs::create_dir_all(&home).unwrap();
    let with = |folder: &std::path::Path| {
        let mut command = project.command(&["plugins", "schema", "gate_net"]);
        command.env("HOME", &home).env("KASMINA_TRUSTED_PROJECTS", folder);
        output(command).2
    };
    assert_eq!(with(&home), Some(1), "another folder is none of its business");
    assert_eq!(with(&project.path("")), Some(0));
}

/// What was never confirmed is not added to either: the new text would be confirmed with all that is in it.
///
/// docs/security.md: 3
#[test]
fn unsigned_files_are_not_pinned_in_a_lock_file_of_somebody_else() {
    let project = Project::new();
    std::fs::write(project.path("plugins.lock"), "format = 1\n").unwrap();
    assert_eq!(stranger(&project, &["plugins", "schema", "gate_net", "--allow-unsigned"]).2, Some(0));
    assert_eq!(std::fs::read_to_string(project.path("plugins.lock")).unwrap(), "format = 1\n");
    assert_eq!(stranger(&project, &["plugins", "schema", "gate_net"]).2, Some(1));
    // What it has with other bytes stays refused, whatever is allowed.
    std::fs::remove_file(project.path("plugins.lock")).unwrap();
    project.says(&["plugins", "lock", "plugins/libgated.so"]);
    project.build(1);
    let (_, error, code) = stranger(&project, &["plugins", "schema", "gate_net", "--allow-unsigned"]);
    assert_eq!(code, Some(1));
    insta::assert_snapshot!(crate::project::redacted(&error));
}

#[test]
fn a_lock_file_that_is_named_is_believed() {
    let project = Project::new();
    project.says(&["plugins", "lock", "plugins/libgated.so"]);
    let lock = ["plugins", "schema", "gate_net", "--lock", "plugins.lock"];
    assert_eq!(stranger(&project, &lock).2, Some(0));
}

#[test]
fn what_stands_twice_in_a_lock_file_is_refused() {
    let project = Project::new();
    project.says(&["plugins", "lock", "plugins/libgated.so"]);
    let lock = project.path("plugins.lock");
    let text = std::fs::read_to_string(&lock).unwrap();
    let entry = &text[text.find("[[plugin]]").unwrap()..];
    std::fs::write(&lock, format!("{text}\n{entry}")).unwrap();
    let (_, error, code) = stranger(&project, &["plugins", "list"]);
    assert_eq!(code, Some(1));
    insta::assert_snapshot!(error);
}

/// Without names only what somebody vouches for is renewed.
///
/// docs/security.md: 4
#[test]
fn locking_everything_decides_nothing_new() {
    let project = Project::new();
    let told = project.says(&["plugins", "lock"]);
    insta::assert_snapshot!("locking_everything_at_first", told);
    let lock = std::fs::read_to_string(project.path("plugins.lock")).unwrap_or_default();
    assert!(!lock.contains("fixture_gated"), "{lock}");
    // A signer is not dropped because a file without a signature lies there now.
    project.says(&["plugins", "keygen", "alice", "--no-password"]);
    project.says(&["plugins", "trust", "add", "alice", "alice.pub"]);
    project.says(&["plugins", "sign", "plugins/libgated.so", "--key", "alice.key"]);
    project.says(&["plugins", "lock"]);
    let signed = std::fs::read_to_string(project.path("plugins.lock")).unwrap();
    assert!(signed.contains("alice"), "{signed}");
    std::fs::remove_file(project.path("plugins/libgated.so.minisig")).unwrap();
    project.build(1);
    let told = project.says(&["plugins", "lock"]);
    insta::assert_snapshot!("locking_everything_without_the_signature", told);
    assert_eq!(std::fs::read_to_string(project.path("plugins.lock")).unwrap(), signed);
    // A new build by the same key is a renewal.
    project.says(&["plugins", "sign", "plugins/libgated.so", "--key", "alice.key"]);
    let told = project.says(&["plugins", "lock"]);
    insta::assert_snapshot!("locking_everything_signed_again", told);
}

#[test]
fn two_files_of_one_name_are_no_decision() {
    let project = Project::new();
    std::fs::copy(project.path("plugins/libgated.so"), project.path("other.so")).unwrap();
    let told = project.says(&["plugins", "lock", "plugins/libgated.so", "other.so"]);
    insta::assert_snapshot!(told);
    assert!(!project.path("plugins.lock").exists());
}

/// The process that uses a file for the first time is stopped; another process locks other bytes meanwhile.
///
/// docs/security.md: 5
#[test]
fn a_pin_that_was_made_meanwhile_is_not_replaced() {
    use kasmina_registry::child::{Limits, Program};
    use kasmina_registry::{Origin, Policy, Registry, SearchPath, lock::Lock};
    let project = Project::new();
    let (file, lock) = (project.path("plugins/libgated.so"), project.path("plugins.lock"));
    // The program that tries builds in children takes the time to lock other bytes.
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
