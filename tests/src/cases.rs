//! Small runs of every kind: `tests/golden/cases/NAME.toml`, with the files that they name.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// The fixtures that the cases use.
pub const FIXTURES: [&str; 4] = ["gated", "dropout", "ill_seeds", "sequence"];

/// The folder of the golden runs.
pub fn folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden"))
}

/// The names of all cases.
pub fn names() -> Vec<String> {
    let files = std::fs::read_dir(folder().join("cases")).expect("the cases are there");
    let paths = files.map(|f| f.unwrap().path()).filter(|p| p.extension().is_some_and(|e| e == "toml"));
    paths.map(|p| p.file_stem().unwrap().to_string_lossy().into_owned()).collect()
}

/// The text of a case's configuration, with what it names made in a folder.
pub fn text(name: &str, home: &Path) -> String {
    let path = folder().join("cases").join(name).with_extension("toml");
    placed(&std::fs::read_to_string(path).unwrap(), home)
}

/// Writes a case's configuration into a folder, with what it names.
pub fn write(name: &str, home: &Path) -> PathBuf {
    let path = home.join("config.toml");
    std::fs::write(&path, text(name, home)).unwrap();
    path
}

/// The text of a case with its placeholders replaced by real paths; what they name is made if it is asked
/// for.
fn placed(text: &str, home: &Path) -> String {
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

/// A text with some order in it.
fn sentences() -> String {
    let (subjects, verbs) = (["a seed", "the host", "one slot", "every gate"], ["grows", "waits", "learns"]);
    let mut text = String::new();
    for i in 0..600_usize {
        let _ = write!(text, "{} {} {}. ", subjects[i * 7 % 4], verbs[i * 5 % 3], i % 17);
    }
    text
}

/// Files in the format of CIFAR-10, with images that their label can be read off.
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
