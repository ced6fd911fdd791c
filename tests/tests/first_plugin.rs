//! The compiler's messages for mistakes of authors. Each file of `tests/beginners` has one mistake.

use kasmina_tests::author::cargo;
use kasmina_tests::say;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A part of the message for each mistake, the same for every version of the compiler.
const EXPECTED: [(&str, &str); 12] = [
    ("a_blend_as_a_blueprint", "`Ramp` is not a blueprint"),
    ("a_seed_that_is_not_send", "cannot be sent between threads safely"),
    ("another_signature", "`forward` has 2 parameters but the declaration in trait"),
    ("config_without_default", "the trait `Default` is not implemented for `Config`"),
    ("config_without_deserialize", "Deserialize"),
    ("config_without_schema", "JsonSchema"),
    ("derive_without_crate", "serde"),
    ("exported_twice", "is already defined"),
    ("no_blender", "`Ramp` is not a blender"),
    ("no_host_module", "`Net` is not a host module"),
    ("no_seed", "`Gain` is not a seed"),
    ("the_seed_registered", "`Gain` is not a blueprint"),
];
/// Version of the compiler whose messages are in the snapshot.
const COMPILER: &str = "rustc 1.95.";

/// Writes a crate with each mistake as an example, so that one build reports all of them.
fn write_crate_of_mistakes(folder: &Path) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap();
    let manifest = format!(
        "[package]\nname = \"mistakes\"\nedition = \"2024\"\n\n[dependencies]\nkasmina-plugin-api = {{ path = \"{}\" }}\n\n\
         [profile.dev]\ndebug = \"line-tables-only\"\n[profile.dev.package.torch-sys]\nopt-level = 0\ndebug = false\n\
         [profile.release.package.torch-sys]\nopt-level = 0\n\n[workspace]\n",
        root.join("plugin-api").display()
    );
    std::fs::create_dir_all(folder.join("src")).unwrap();
    std::fs::create_dir(folder.join("examples")).unwrap();
    std::fs::write(folder.join("Cargo.toml"), manifest).unwrap();
    std::fs::write(folder.join("src/lib.rs"), "").unwrap();
    std::fs::copy(root.join("Cargo.lock"), folder.join("Cargo.lock")).unwrap();
    for file in mistakes() {
        std::fs::copy(&file, folder.join("examples").join(file.file_name().unwrap())).unwrap();
    }
}

fn mistakes() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("beginners");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    files
}

/// Builds the crate and returns the compiler's errors for each mistake.
fn errors(folder: &Path) -> BTreeMap<String, String> {
    let mut command = cargo("build", folder);
    command.args(["--examples", "--keep-going", "--message-format", "json"]);
    let out = command.output().unwrap();
    let text = String::from_utf8(out.stdout).unwrap();
    let mut all: BTreeMap<String, String> = BTreeMap::new();
    for line in text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
        let message = &line["message"];
        if line["reason"] != "compiler-message"
            || message["level"] != "error"
            || message["spans"] == Value::Array(vec![])
        {
            continue;
        }
        let name = line["target"]["name"].as_str().unwrap().to_owned();
        all.entry(name).or_default().push_str(message["rendered"].as_str().unwrap());
    }
    assert!(!out.status.success() && !all.is_empty(), "{}", String::from_utf8_lossy(&out.stderr));
    all
}

#[test]
fn each_mistake_has_a_helpful_message() {
    if std::env::var_os("KASMINA_TEST_BUILT").is_some() {
        say("SKIPPED the compiler's messages: there is no cargo");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    write_crate_of_mistakes(dir.path());
    let errors = errors(dir.path());
    let names: Vec<&str> = errors.keys().map(String::as_str).collect();
    assert_eq!(names, EXPECTED.map(|(name, _)| name), "each mistake has errors, and nothing else has");
    for (name, words) in EXPECTED {
        assert!(errors[name].contains(words), "{name}:\n{}", errors[name]);
    }

    let version = Command::new("rustc").arg("--version").output().unwrap();
    if !String::from_utf8_lossy(&version.stdout).starts_with(COMPILER) {
        say("SKIPPED the snapshot of the compiler's messages: it is another compiler");
        return;
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap();
    let mut all = String::new();
    for (name, text) in errors {
        let text = text.replace(&*root.to_string_lossy(), "[KASMINA]");
        let _ = writeln!(all, "=== {name}\n{text}");
    }
    insta::with_settings!({ filters => vec![
        (r"/\S*/registry/src/[^/\s]+/", "[REGISTRY]/"),
        (r"/\S*/lib/rustlib/src/", "[RUST]/"),
        (r"/rustc/\w+/", "[RUST]/"),
        // Line numbers change with every edit above them.
        (r"(-->|:::) (\[\w+\]\S+):\d+:\d+", "$1 $2"),
        // The order of two equal symbols differs from build to build.
        (r"(exported_twice\.rs):\d+:\d+", "$1"),
        (r"(?m)^ *\d+ +\|", "   |"),
        (r"and \d+ others", "and others"),
        (r"`\S*/mistakes-\w+\.long-type-\d+\.txt`|'\S*long-type-\d+\.txt'", "[FILE]"),
    ] }, { insta::assert_snapshot!(all) });
}
