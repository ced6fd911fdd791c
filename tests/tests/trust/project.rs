//! A project with a plugin that its user has not decided about.

use kasmina_tests::{fixture, kasmina, output};
use std::path::PathBuf;
use std::process::Command;

/// A project with one unsigned, unpinned plugin, `plugins/libgated.so`.
pub(crate) struct Project(tempfile::TempDir);

impl Project {
    pub(crate) fn new() -> Self {
        let project = Self(tempfile::tempdir().unwrap());
        std::fs::create_dir(project.path("plugins")).unwrap();
        project.build(0);
        project
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes another build of the plugin: the same code with other bytes.
    pub(crate) fn build(&self, mark: u32) {
        let mut bytes = std::fs::read(fixture("gated")).unwrap();
        bytes.extend(mark.to_le_bytes());
        std::fs::write(self.path("plugins/libgated.so"), bytes).unwrap();
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = kasmina(self.0.path());
        // Without the shipped plugins, and without trust in unsigned ones.
        command.env_remove("KASMINA_ALLOW_UNSIGNED").env_remove("KASMINA_PLUGIN_PATH").args(args);
        command
    }

    /// Runs a command and returns its command line, output and exit code, without what differs between
    /// machines and builds.
    pub(crate) fn transcript(&self, args: &[&str]) -> String {
        let (out, err, code) = output(self.command(args));
        let text = format!("$ kasmina {}\n{out}{err}[{}]\n", args.join(" "), code.unwrap_or(-1));
        redacted(&self.without_its_path(&text))
    }

    /// Returns a text with paths relative to the project.
    pub(crate) fn without_its_path(&self, text: &str) -> String {
        text.replace(&format!("{}/", self.0.path().display()), "")
    }
}

/// Replaces hashes and keys by placeholders.
pub(crate) fn redacted(text: &str) -> String {
    let hex = |c: char| c.is_ascii_hexdigit() && !c.is_ascii_uppercase();
    let mut out = String::new();
    for piece in text.split_inclusive(|c: char| !c.is_ascii_alphanumeric() && c != '+' && c != '/') {
        let word = piece.trim_end_matches(|c: char| !c.is_ascii_alphanumeric() && c != '+' && c != '/');
        let rest = &piece[word.len()..];
        match word.len() {
            12 | 64 if word.chars().all(hex) => out.push_str("[HASH]"),
            54.. if word.starts_with("RW") => out.push_str("[KEY]"),
            _ => out.push_str(word),
        }
        out.push_str(rest);
    }
    out
}
