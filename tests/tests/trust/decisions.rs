//! Decisions of trust: pins, signatures, and plugins beside the program.

use crate::project::{Project, redacted};
use kasmina_tests::{output, shipped};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

#[test]
fn an_unsigned_plugin_is_refused_until_its_bytes_are_pinned() {
    let project = Project::new();
    let mut printed = String::new();
    printed += &project.transcript(&["plugins", "list"]);
    printed += &project.transcript(&["plugins", "lock", "plugins/libgated.so"]);
    printed += &project.transcript(&["plugins", "lock", "--check"]);
    printed += &project.transcript(&["plugins", "inspect", "plugins/libgated.so"]);
    project.build(1);
    printed += &project.transcript(&["plugins", "list"]);
    printed += &project.transcript(&["plugins", "lock", "--check"]);
    printed += &project.transcript(&["plugins", "lock"]);
    printed += &std::fs::read_to_string(project.path("plugins.lock")).map(|text| redacted(&text)).unwrap();
    insta::assert_snapshot!(printed);
}

#[test]
fn allow_unsigned_pins_the_bytes_of_a_plugin() {
    let project = Project::new();
    let schema = |more: &[&str]| project.transcript(&[&["plugins", "schema", "gate_net"], more].concat());
    insta::assert_snapshot!("a_flag_refused", schema(&[]));
    assert!(!project.path("plugins.lock").exists(), "a refused command writes no lock file");
    assert!(schema(&["--allow-unsigned"]).contains("hidden"));
    assert!(schema(&[]).contains("hidden"), "the bytes are pinned now");
    project.build(1);
    // The flag applies only to plugins without a pin; it does not change a pin.
    insta::assert_snapshot!("a_flag_refused_other_bytes", schema(&["--allow-unsigned"]));
}

#[test]
fn a_signature_counts_only_with_a_trusted_key() {
    let project = Project::new();
    let file = "plugins/libgated.so";
    let mut printed = String::new();
    printed += &project.transcript(&["plugins", "keygen", "alice", "--no-password"]);
    printed += &project.transcript(&["plugins", "sign", file, "--key", "alice.key"]);
    printed += &project.transcript(&["plugins", "list"]);
    printed += &project.transcript(&["plugins", "trust", "add", "alice", "alice.pub"]);
    printed += &project.transcript(&["plugins", "trust", "list"]);
    printed += &project.transcript(&["plugins", "list"]);
    printed += &project.transcript(&["plugins", "lock"]);
    // Other bytes under the same signature.
    project.build(1);
    printed += &project.transcript(&["plugins", "list"]);
    // Signed again, but still pinned to other bytes.
    printed += &project.transcript(&["plugins", "sign", file, "--key", "alice.key"]);
    printed += &project.transcript(&["plugins", "list"]);
    // Signed by an untrusted key.
    project.transcript(&["plugins", "keygen", "mallory", "--no-password"]);
    project.transcript(&["plugins", "sign", file, "--key", "mallory.key"]);
    printed += &project.transcript(&["plugins", "list"]);
    std::fs::remove_file(project.path("plugins/libgated.so.minisig")).unwrap();
    printed += &project.transcript(&["plugins", "list"]);
    printed += &project.transcript(&["plugins", "trust", "remove", "alice"]);
    insta::assert_snapshot!(printed);
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

/// A signature for another version is not accepted.
#[test]
fn a_signature_is_for_one_plugin_and_version() {
    let project = Project::new();
    project.transcript(&["plugins", "keygen", "alice", "--no-password"]);
    project.transcript(&["plugins", "trust", "add", "alice", "alice.pub"]);
    let text = std::fs::read_to_string(project.path("alice.key")).unwrap();
    let secret = minisign::SecretKeyBox::from_string(&text).unwrap().into_unencrypted_secret_key().unwrap();
    let bytes = std::fs::read(project.path("plugins/libgated.so")).unwrap();
    let comment = "kasmina fixture_gated 0.0.9 x86_64-unknown-linux-gnu";
    let signature =
        minisign::sign(None, &secret, std::io::Cursor::new(bytes), Some(comment), None).unwrap().to_string();
    std::fs::write(project.path("plugins/libgated.so.minisig"), signature).unwrap();
    insta::assert_snapshot!(project.transcript(&["plugins", "inspect", "plugins/libgated.so"]));
}

#[test]
fn plugins_beside_the_program_are_trusted() {
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
