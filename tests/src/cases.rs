//! Configurations of small runs of every kind (`tests/golden/cases/NAME.toml`), with their input files.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Names of the fixtures that the cases use.
pub const FIXTURES: [&str; 4] = ["gated", "dropout", "ill_seeds", "sequence"];

/// Returns the folder of the golden runs.
pub fn folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden"))
}

/// Returns the names of all cases.
pub fn names() -> Vec<String> {
    let files = std::fs::read_dir(folder().join("cases")).expect("the cases are there");
    let paths = files.map(|f| f.unwrap().path()).filter(|p| p.extension().is_some_and(|e| e == "toml"));
    paths.map(|p| p.file_stem().unwrap().to_string_lossy().into_owned()).collect()
}

/// Returns the text of a case's configuration, after writing the input files that it names into `home`.
pub fn text(name: &str, home: &Path) -> String {
    let path = folder().join("cases").join(name).with_extension("toml");
    fill_placeholders(&std::fs::read_to_string(path).unwrap(), home)
}

/// Writes a case's configuration and the input files that it names into `home`. Returns the configuration's
/// path.
pub fn write(name: &str, home: &Path) -> PathBuf {
    let path = home.join("config.toml");
    std::fs::write(&path, text(name, home)).unwrap();
    path
}

/// Replaces the placeholders of a case's text by paths, and writes the generated inputs (`$TEXT`, `$CIFAR`)
/// that it uses.
fn fill_placeholders(text: &str, home: &Path) -> String {
    if text.contains("$TEXT") {
        std::fs::write(home.join("text"), sentences()).unwrap();
    }
    if text.contains("$CIFAR") {
        images(&home.join("cifar"));
    }
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let shown = |path: &Path| path.display().to_string();
    text.replace("$TEXT", &shown(&home.join("text")))
        .replace("$CIFAR", &shown(&home.join("cifar")))
        .replace("$INPUTS", &shown(&folder().join("inputs")))
        .replace("$FIXTURES", &shown(&fixtures))
}

/// Returns a text with regularities that a language model can learn.
fn sentences() -> String {
    let (subjects, verbs) = (["a seed", "the host", "one slot", "every gate"], ["grows", "waits", "learns"]);
    let mut text = String::new();
    for i in 0..600_usize {
        let _ = write!(text, "{} {} {}. ", subjects[i * 7 % 4], verbs[i * 5 % 3], i % 17);
    }
    text
}

/// Writes files in the format of CIFAR-10, whose images become brighter with their label.
fn images(folder: &Path) {
    let inner = folder.join("cifar-10-batches-bin");
    std::fs::create_dir_all(&inner).unwrap();
    let image = |number: usize| {
        let label = number % 10;
        let pixels = (0..3072).map(move |i| (20 + 20 * label + (i * 7 + number * 13) % 61) as u8);
        std::iter::once(label as u8).chain(pixels)
    };
    for batch in 0..5 {
        let bytes: Vec<u8> = (0..24).flat_map(|i| image(batch * 24 + i)).collect();
        std::fs::write(inner.join(format!("data_batch_{}.bin", batch + 1)), bytes).unwrap();
    }
    let bytes: Vec<u8> = (1000..1040).flat_map(image).collect();
    std::fs::write(inner.join("test_batch.bin"), bytes).unwrap();
}
