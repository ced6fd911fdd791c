//! What is decided once: pins, signatures, and what lies beside the program.

use crate::project::{Project, redacted};
use kasmina_tests::{output, shipped};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

#[test]
fn an_unsigned_plugin_is_a_decision_and_its_bytes_are_pinned() {
    let project = Project::new();
    let mut told = String::new();
    told += &project.says(&["plugins", "list"]);
    told += &project.says(&["plugins", "lock", "plugins/libgated.so"]);
    told += &project.says(&["plugins", "lock", "--check"]);
    told += &project.says(&["plugins", "inspect", "plugins/libgated.so"]);
    project.build(1);
    told += &project.says(&["plugins", "list"]);
    told += &project.says(&["plugins", "lock", "--check"]);
    told += &project.says(&["plugins", "lock"]);
    told += &std::fs::read_to_string(project.path("plugins.lock")).map(|text| redacted(&text)).unwrap();
    insta::assert_snapshot!(told);
}

#[test]
fn a_flag_lets_in_once_and_writes_it_down() {
    let project = Project::new();
    let schema = |more: &[&str]| project.says(&[&["plugins", "schema", "gate_net"], more].concat());
    insta::assert_snapshot!("a_flag_refused", schema(&[]));
    assert!(!project.path("plugins.lock").exists(), "looking writes nothing");
    assert!(schema(&["--allow-unsigned"]).contains("hidden"));
    assert!(schema(&[]).contains("hidden"), "these bytes are pinned now");
    project.build(1);
    // The flag is for what was never decided; it does not undo a decision.
    insta::assert_snapshot!("a_flag_refused_other_bytes", schema(&["--allow-unsigned"]));
}

#[test]
fn a_signature_is_worth_what_its_key_is() {
    let project = Project::new();
    let file = "plugins/libgated.so";
    let mut told = String::new();
    told += &project.says(&["plugins", "keygen", "alice", "--no-password"]);
    told += &project.says(&["plugins", "sign", file, "--key", "alice.key"]);
    told += &project.says(&["plugins", "list"]);
    told += &project.says(&["plugins", "trust", "add", "alice", "alice.pub"]);
    told += &project.says(&["plugins", "trust", "list"]);
    told += &project.says(&["plugins", "list"]);
    told += &project.says(&["plugins", "lock"]);
    // Other bytes under the same signature.
    project.build(1);
    told += &project.says(&["plugins", "list"]);
    // Signed again, but locked as other bytes: that is a decision too.
    told += &project.says(&["plugins", "sign", file, "--key", "alice.key"]);
    told += &project.says(&["plugins", "list"]);
    // Signed by somebody else.
    project.says(&["plugins", "keygen", "mallory", "--no-password"]);
    project.says(&["plugins", "sign", file, "--key", "mallory.key"]);
    told += &project.says(&["plugins", "list"]);
    std::fs::remove_file(project.path("plugins/libgated.so.minisig")).unwrap();
    told += &project.says(&["plugins", "list"]);
    told += &project.says(&["plugins", "trust", "remove", "alice"]);
    insta::assert_snapshot!(told);
    let mode = |name: &str| std::fs::metadata(project.path(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("alice.key"), mode("alice.pub") & 0o022), (0o600, 0));
}

#[test]
fn a_key_with_a_password_needs_it() {
    let project = Project::new();
    let with = |password: &str, args: &[&str]| {
        let mut command = project.command(args);
        command.env("KASMINA_KEY_PASSWORD", password);
        output(command)
    };
    assert_eq!(with("open sesame", &["plugins", "keygen", "bob"]).2, Some(0));
    let sign = ["plugins", "sign", "plugins/libgated.so", "--key", "bob.key"];
    let (_, error, code) = with("wrong", &sign);
    assert_eq!(code, Some(1), "{error}");
    insta::assert_snapshot!(error);
    assert_eq!(with("open sesame", &sign).2, Some(0));
}

/// The signature of another plugin, or of another version, is none.
#[test]
fn a_signature_is_for_one_plugin_and_version() {
    let project = Project::new();
    project.says(&["plugins", "keygen", "alice", "--no-password"]);
    project.says(&["plugins", "trust", "add", "alice", "alice.pub"]);
    let text = std::fs::read_to_string(project.path("alice.key")).unwrap();
    let secret = minisign::SecretKeyBox::from_string(&text).unwrap().into_unencrypted_secret_key().unwrap();
    let bytes = std::fs::read(project.path("plugins/libgated.so")).unwrap();
    let says = "kasmina fixture_gated 0.0.9 x86_64-unknown-linux-gnu";
    let signature =
        minisign::sign(None, &secret, std::io::Cursor::new(bytes), Some(says), None).unwrap().to_string();
    std::fs::write(project.path("plugins/libgated.so.minisig"), signature).unwrap();
    insta::assert_snapshot!(project.says(&["plugins", "inspect", "plugins/libgated.so"]));
}

#[test]
fn what_lies_beside_the_program_is_the_program() {
    let home = tempfile::tempdir().unwrap();
    let bin = home.path().join("bin");
    std::fs::create_dir_all(bin.join("plugins")).unwrap();
    let own = kasmina_tests::built().join("kasmina");
    std::fs::copy(own, bin.join("kasmina")).unwrap();
    std::fs::copy(shipped("kasmina_blends"), bin.join("plugins/libkasmina_blends.so")).unwrap();
    let run = |args: &[&str]| {
        let mut command = Command::new(bin.join("kasmina"));
        command.env_clear().env("HOME", home.path()).current_dir(home.path()).args(args);
        output(command)
    };
    let (out, error, _) = run(&["plugins", "list"]);
    assert!(out.contains("bundled") && !out.contains("unsigned"), "{out}{error}");
    assert!(run(&["plugins", "schema", "sigmoid"]).0.contains("steepness"));
    assert!(!home.path().join("plugins.lock").exists());
}
