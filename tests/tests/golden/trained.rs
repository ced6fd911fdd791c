//! Cases that the trainer runs: `cases/NAME.toml`, with files that are made for them.

use crate::transcript::Transcript;
use kasmina_tests::{registry, runs};
use kasmina_trainer::{RunConfig, Trainer};
use std::fmt::Write as _;
use std::path::Path;
use std::sync::atomic::AtomicBool;

/// The names of the files in `cases/`.
pub(crate) fn names() -> Vec<String> {
    let files = std::fs::read_dir(super::folder().join("cases")).expect("the cases are there");
    let paths = files.map(|f| f.unwrap().path()).filter(|p| p.extension().is_some_and(|e| e == "toml"));
    paths.map(|p| p.file_stem().unwrap().to_string_lossy().into_owned()).collect()
}

pub(crate) fn run(name: &str) -> String {
    let home = tempfile::tempdir().unwrap();
    let config = home.path().join("config.toml");
    let text =
        std::fs::read_to_string(super::folder().join("cases").join(name).with_extension("toml")).unwrap();
    std::fs::write(&config, placed(&text, home.path())).unwrap();
    let mut config = RunConfig::from_file(&config).unwrap();
    // What was recorded was computed there, and a machine with a GPU must compare with the same.
    "cpu".clone_into(&mut config.device);
    let registry = registry(&["gated", "dropout", "ill_seeds", "sequence"]);
    for path in &config.plugin_path {
        registry.load_file(path).unwrap();
    }
    let trainer = Trainer::prepare(config, &registry).unwrap();
    let out = home.path().join("run");
    let (result, model) = trainer.run_and_keep(Some(&out), &mut (), &AtomicBool::new(false));
    let mut transcript = Transcript::default();
    // A run that fails is a case as well.
    transcript.line(&match result {
        Ok(summary) => format!("run {:?}", summary.status),
        Err(_) => "run failed".to_owned(),
    });
    for row in runs::lines(&out.join("metrics.jsonl")) {
        transcript.epoch(row);
    }
    transcript.events(runs::lines(&out.join("events.jsonl")));
    transcript.commands(runs::lines(&out.join("commands.jsonl")));
    transcript.weights(&model);
    transcript.finish()
}

/// The text of a case with its placeholders replaced by real paths; what they name is made if it is asked for.
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
        .replace("$INPUTS", &shown(&super::folder().join("inputs")))
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
