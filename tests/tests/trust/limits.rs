//! Files that would cost memory or time before they are checked, and unreadable files.

use crate::project::Project;
use kasmina_tests::shell::in_shell;
use kasmina_tests::{output, shipped};
use std::fs::File;
use std::path::Path;

/// Script that limits the program's memory to less than the size of the files.
const MEMORY: &str = "ulimit -v 6000000; exec \"$@\"";

fn pipe(path: &Path) {
    rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
}

/// docs/security.md: 16
#[test]
fn files_that_are_too_large_or_no_files_are_refused_by_name() {
    let project = Project::new();
    std::fs::remove_file(project.path("plugins/libgated.so")).unwrap();
    File::create(project.path("plugins/big.so")).unwrap().set_len(6 << 30).unwrap();
    File::create(project.path("plugins/long.blueprint.toml")).unwrap().set_len(3 << 30).unwrap();
    std::fs::copy(shipped("kasmina_blends"), project.path("plugins/signed.so")).unwrap();
    pipe(&project.path("plugins/signed.so.minisig"));
    pipe(&project.path("plugins/pipe.so"));
    // A signature is read only if there is a trusted key.
    project.transcript(&["plugins", "keygen", "me", "--no-password"]);
    project.transcript(&["plugins", "trust", "add", "me", "me.pub"]);
    let command = in_shell(&project.command(&["plugins", "list"]), MEMORY, &[]);
    let (out, error, code) = output(command);
    assert_eq!(code, Some(0), "{error}");
    let printed: Vec<&str> = out.lines().skip_while(|line| !line.is_empty()).collect();
    let printed = project.without_its_path(&printed.join("\n"));
    insta::assert_snapshot!(printed);
}

/// The child process that tries a build works under a memory limit of the parent.
#[test]
fn a_limit_on_memory_is_respected() {
    let project = Project::new();
    let schema = project.command(&["plugins", "schema", "gate_net", "--allow-unsigned"]);
    let (out, error, code) = output(in_shell(&schema, MEMORY, &[]));
    assert_eq!(code, Some(0), "{error}");
    assert!(out.contains("hidden"), "{out}");
    let doctor = |limit: &str| {
        let script = format!("ulimit -v {limit}; exec \"$@\"");
        output(in_shell(&project.command(&["plugins", "doctor"]), &script, &[]))
    };
    assert!(doctor("6000000").0.contains("child process  starts and answers"), "{}", doctor("6000000").0);
}

#[test]
fn an_unreadable_file_is_not_treated_as_missing() {
    let project = Project::new();
    let quarantine = project.path(".local/state/kasmina/quarantine.json");
    std::fs::create_dir_all(quarantine.parent().unwrap()).unwrap();
    std::fs::write(&quarantine, "{ half").unwrap();
    let printed = project.transcript(&["plugins", "schema", "gate_net", "--allow-unsigned"]);
    insta::assert_snapshot!(
        "a_damaged_quarantine",
        printed + &project.transcript(&["plugins", "quarantine", "list"])
    );
    assert_eq!(std::fs::read_to_string(&quarantine).unwrap(), "{ half");
    std::fs::remove_file(&quarantine).unwrap();
    // An unreadable signature does not count as a missing one.
    project.transcript(&["plugins", "lock", "plugins/libgated.so"]);
    std::fs::create_dir(project.path("plugins/libgated.so.minisig")).unwrap();
    insta::assert_snapshot!(
        "an_unreadable_signature",
        project.transcript(&["plugins", "schema", "gate_net"])
    );
}

/// The interpreter of a declared blueprint is checked like any plugin.
///
/// docs/security.md: 8
#[test]
fn an_untrusted_interpreter_is_not_run() {
    let project = Project::new();
    let name = "plugins/libkasmina_declared.so";
    std::fs::copy(shipped("kasmina_declared"), project.path(name)).unwrap();
    std::fs::write(project.path("one.blueprint.toml"), "[blueprint]\nid = \"one\"\nsummary = \"one\"\n")
        .unwrap();
    let printed = project.transcript(&["plugins", "check", "one.blueprint.toml", "--only", "listing"]);
    insta::assert_snapshot!(printed);
    project.transcript(&["plugins", "lock", name]);
    let printed = project.transcript(&["plugins", "check", "one.blueprint.toml", "--only", "listing"]);
    assert!(!printed.contains("rule `trust`"), "{printed}");
}

/// A libtorch in `LD_LIBRARY_PATH` is not loaded instead of the program's own.
#[test]
fn a_foreign_libtorch_is_ignored() {
    let project = Project::new();
    let other = project.path("other");
    std::fs::create_dir(&other).unwrap();
    for name in ["libtorch_cpu.so", "libc10.so"] {
        std::fs::copy(shipped("kasmina_blends"), other.join(name)).unwrap();
    }
    let mut command = project.command(&["plugins", "list"]);
    command.env("LD_LIBRARY_PATH", &other);
    let (_, error, code) = output(command);
    assert_eq!(code, Some(0), "{error}");
}
