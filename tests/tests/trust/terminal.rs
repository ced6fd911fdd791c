//! Output to terminals and pipes: untrusted names, and outputs that cannot be written.

use crate::project::Project;
use kasmina_tests::shell::in_shell;
use kasmina_tests::{kasmina, output};
use std::process::Stdio;

const HEAD: &str = "[blueprint]\nid = \"x\"\nsummary = \"SUMMARY\"\n";

/// docs/security.md: 19
#[test]
fn untrusted_names_cannot_control_the_terminal() {
    let project = Project::new();
    let evil = "plugins/a\u{1b}[2J\nblueprint  trusted  core.blueprint.toml";
    std::fs::write(project.path(evil), HEAD).unwrap();
    let summary = HEAD.replace("SUMMARY", "\\u001B[31mred\\u202Edesrever");
    std::fs::write(project.path("plugins/b.blueprint.toml"), summary).unwrap();
    let (out, error, _) = output(project.command(&["plugins", "list"]));
    let all = format!("{out}{error}");
    assert!(!all.contains('\u{1b}') && !all.contains('\u{202e}'), "{all:?}");
    assert!(!all.lines().any(|line| line.starts_with("blueprint  trusted")), "{all}");
    let refused = out.lines().skip_while(|line| !line.is_empty()).collect::<Vec<_>>().join("\n");
    insta::assert_snapshot!(project.without_its_path(&refused));
}

/// docs/security.md: 20
#[test]
fn a_path_in_a_suggested_command_is_quoted() {
    let project = Project::new();
    let name = "plugins/x; touch owned .so";
    std::fs::copy(project.path("plugins/libgated.so"), project.path(name)).unwrap();
    std::fs::remove_file(project.path("plugins/libgated.so")).unwrap();
    let printed = project.transcript(&["plugins", "list"]);
    let refused = printed.lines().skip_while(|line| !line.is_empty()).collect::<Vec<_>>().join("\n");
    insta::assert_snapshot!(refused);
}

#[test]
fn an_output_that_cannot_be_written_is_an_error() {
    let home = tempfile::tempdir().unwrap();
    let mut printed = String::new();
    for args in [vec!["schema", "run"], vec!["plugins", "list", "--json"], vec!["plugins", "list"]] {
        let mut command = kasmina(home.path());
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        command.args(&args).stdout(full).stderr(Stdio::piped());
        let out = command.output().unwrap();
        let error = String::from_utf8_lossy(&out.stderr).into_owned();
        assert_eq!(out.status.code(), Some(1), "{args:?}: {error}");
        printed += &format!("$ kasmina {} >/dev/full\n{error}", args.join(" "));
    }
    insta::assert_snapshot!(printed);
}

/// A reader may close the pipe before it has read everything.
#[test]
fn a_closed_pipe_is_no_error() {
    let home = tempfile::tempdir().unwrap();
    let mut command = kasmina(home.path());
    command.args(["schema", "run"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    drop(child.stdout.take());
    let out = child.wait_with_output().unwrap();
    assert_eq!(
        (out.status.code(), out.stderr.len()),
        (Some(0), 0),
        "{}",
        String::from_utf8_lossy(&out.stderr)
    );
}

/// On a terminal that cannot move its cursor, progress is printed as plain lines.
#[test]
fn a_dumb_terminal_gets_one_line_for_each_epoch() {
    let home = tempfile::tempdir().unwrap();
    for term in ["dumb", ""] {
        let mut train = kasmina(home.path());
        let out = format!("run-{term}");
        train.args(["train", "--no-seeds", "--epochs", "2", "--out", &out]).env("TERM", term);
        // `script` runs the command on a terminal.
        let command = in_shell(&train, "exec script -qec \"$*\" /dev/null </dev/null", &[]);
        let (printed, error, code) = output(command);
        assert_eq!(code, Some(0), "{printed}{error}");
        assert!(printed.contains("epoch   1/2") && printed.contains("epoch   2/2"), "{printed}");
        assert!(!printed.contains('\u{1b}'), "{printed:?}");
    }
}
