//! The checkpoint format: complete folders, damaged folders, and arbitrary bytes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failed step is a failed test")]

use kasmina_checkpoint::{
    About, Checkpoint, CheckpointError, Contents, Dtype, Keep, Manifest, SCHEMA, TensorData, Tensors, list,
    newest_first, parse_state, prune, verify, write,
};
use proptest::prelude::*;
use std::path::{Path, PathBuf};

fn about(step: u64, score: Option<f64>) -> About {
    About {
        epoch: u32::try_from(step).unwrap(),
        step,
        epoch_is_whole: true,
        finished: false,
        score,
        finite: score.is_none_or(f64::is_finite),
        version: "0".to_owned(),
        written: 1,
    }
}

/// Writes a checkpoint with one tensor.
fn save(folder: &Path, step: u64, score: Option<f64>) -> PathBuf {
    let bytes: Vec<u8> = [step as f32, -1.5, f32::NAN].iter().flat_map(|x| x.to_le_bytes()).collect();
    let tensor = TensorData { name: "host.w", dtype: Dtype::F32, shape: &[3], bytes: &bytes };
    let state = serde_json::json!({ "step": step });
    let contents = Contents {
        about: about(step, score),
        state: &state,
        model: vec![tensor],
        optimizer: Vec::new(),
        training: Vec::new(),
    };
    write(folder, &contents).unwrap().path
}

#[test]
fn a_written_checkpoint_is_read_back_and_has_little_overhead() {
    let home = tempfile::tempdir().unwrap();
    let path = save(home.path(), 7, Some(90.0));
    let checkpoint = Checkpoint::read(&path).unwrap();
    assert_eq!((checkpoint.about.step, &checkpoint.state["step"]), (7, &7.into()));
    let (name, view) = checkpoint.model.iter().next().unwrap();
    assert_eq!((name, view.dtype, view.shape, view.bytes.len()), ("host.w", Dtype::F32, &[3][..], 12));
    assert_eq!(view.bytes[..4], 7_f32.to_le_bytes());
    assert!(checkpoint.optimizer.is_empty());
    // The same contents must result in the same bytes.
    let first = std::fs::read(path.join("model.safetensors")).unwrap();
    save(home.path(), 7, Some(90.0));
    assert_eq!(std::fs::read(path.join("model.safetensors")).unwrap(), first);
    assert_eq!(list(home.path()).unwrap().len(), 1, "a checkpoint of the same step replaces the old one");

    let bytes = vec![0_u8; 4 << 20];
    let large = TensorData { name: "large", dtype: Dtype::U8, shape: &[4 << 20], bytes: &bytes };
    let state = serde_json::json!({});
    let contents = Contents {
        about: about(8, None),
        state: &state,
        model: vec![large],
        optimizer: Vec::new(),
        training: Vec::new(),
    };
    let written = write(home.path(), &contents).unwrap();
    assert!(written.bytes as f64 <= 1.01 * bytes.len() as f64, "{} bytes", written.bytes);
}

#[test]
fn every_altered_file_is_detected() {
    for name in ["model.safetensors", "optimizer.safetensors", "training.safetensors", "state.json"] {
        let home = tempfile::tempdir().unwrap();
        let path = save(home.path(), 1, None);
        verify(&path).unwrap();
        let file = path.join(name);
        let bytes = std::fs::read(&file).unwrap();
        for at in [0, bytes.len() / 2, bytes.len() - 1] {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1;
            std::fs::write(&file, &flipped).unwrap();
            let error = Checkpoint::read(&path).unwrap_err();
            assert!(error.to_string().contains("it was altered"), "{name}: {error}");
            verify(&path).unwrap_err();
        }
        std::fs::write(&file, &bytes[..bytes.len() - 1]).unwrap();
        let error = verify(&path).unwrap_err().to_string();
        assert!(error.contains("the manifest records"), "{error}");
        std::fs::remove_file(&file).unwrap();
        verify(&path).unwrap_err();
    }
}

#[test]
fn a_pipe_in_place_of_a_file_is_refused_without_waiting() {
    for name in ["manifest.json", "state.json", "model.safetensors"] {
        let home = tempfile::tempdir().unwrap();
        let path = save(home.path(), 1, None);
        std::fs::remove_file(path.join(name)).unwrap();
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mknodat(rustix::fs::CWD, path.join(name), rustix::fs::FileType::Fifo, mode, 0).unwrap();
        // A pipe has size 0. A recorded size of 0 must not make it pass.
        if name != "manifest.json" {
            let manifest = path.join("manifest.json");
            let mut text: serde_json::Value =
                serde_json::from_slice(&std::fs::read(&manifest).unwrap()).unwrap();
            text["files"][name]["bytes"] = 0.into();
            std::fs::write(&manifest, text.to_string()).unwrap();
        }
        for error in [Checkpoint::read(&path).unwrap_err(), verify(&path).unwrap_err()] {
            assert!(error.to_string().ends_with("it is not a regular file"), "{error}");
        }
    }
}

#[test]
fn pruning_keeps_the_newest_and_the_best_checkpoints() {
    let home = tempfile::tempdir().unwrap();
    for (step, score) in [(1, 50.0), (2, 90.0), (3, 70.0), (4, f64::NAN), (5, 60.0)] {
        save(home.path(), step, Some(score));
    }
    // A checkpoint that cannot be read is kept for a person to examine.
    let broken = save(home.path(), 6, None);
    std::fs::write(broken.join("manifest.json"), "{").unwrap();
    let gone = prune(home.path(), Keep { newest: 2, best: true }).unwrap();
    assert_eq!(gone.len(), 2);
    let left: Vec<u64> = list(home.path())
        .unwrap()
        .iter()
        .filter_map(|l| Some(l.manifest.as_ref().ok()?.about.step))
        .collect();
    assert_eq!(left, [2, 4, 5]);
    assert_eq!(newest_first(home.path()).unwrap()[0], broken);
    // With verification, a damaged checkpoint does not count as kept.
    std::fs::write(home.path().join("step-0000000005-epoch-00005-whole/state.json"), "{").unwrap();
    let gone = kasmina_checkpoint::prune_verified(home.path(), Keep { newest: 1, best: false }).unwrap();
    assert_eq!(gone.len(), 0, "the newest undamaged one and the newest one with finite losses are kept");
    prune(home.path(), Keep { newest: 0, best: false }).unwrap();
    assert_eq!(
        list(home.path()).unwrap().iter().filter(|l| l.manifest.is_ok()).count(),
        1,
        "one checkpoint is always kept"
    );
}

#[test]
fn the_best_checkpoint_is_one_at_the_end_of_an_epoch() {
    let home = tempfile::tempdir().unwrap();
    let at = |step: u64, epoch: u32, whole: bool, score: f64| {
        let state = serde_json::json!({});
        let about = About { epoch, epoch_is_whole: whole, ..about(step, Some(score)) };
        let contents =
            Contents { about, state: &state, model: Vec::new(), optimizer: Vec::new(), training: Vec::new() };
        write(home.path(), &contents).unwrap().path
    };
    let (best, _, newest) = (at(10, 1, true, 90.0), at(15, 1, false, 90.0), at(20, 2, true, 50.0));
    prune(home.path(), Keep { newest: 1, best: true }).unwrap();
    let left: Vec<PathBuf> = list(home.path()).unwrap().into_iter().map(|l| l.path).collect();
    assert_eq!(left, [best.clone(), newest]);
    kasmina_checkpoint::remove_newer(&best).unwrap();
    assert_eq!(list(home.path()).unwrap().len(), 1);
}

#[test]
fn partly_written_folders_of_a_killed_process_are_not_checkpoints() {
    let home = tempfile::tempdir().unwrap();
    save(home.path(), 1, None);
    for name in [".writing-step-0000000002-epoch-00002-whole", ".removing-step-0000000000-epoch-00000-whole"]
    {
        std::fs::create_dir(home.path().join(name)).unwrap();
        std::fs::write(home.path().join(name).join("model.safetensors"), "half").unwrap();
    }
    assert_eq!(list(home.path()).unwrap().len(), 1);
    kasmina_checkpoint::clean(home.path());
    assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 1);
    assert!(matches!(newest_first(&home.path().join("nowhere")), Err(CheckpointError::None { .. })));
}

#[test]
fn a_later_schema_version_is_recognized_whatever_its_contents() {
    let path = Path::new("manifest.json");
    let error = Manifest::parse(path, br#"{"schema":9,"shape":"of things to come"}"#).unwrap_err();
    assert!(matches!(error, CheckpointError::Newer { found: 9, known: SCHEMA, .. }), "{error}");
    let error = parse_state(path, br#"{"schema":9,"state":{}}"#).unwrap_err();
    assert!(matches!(error, CheckpointError::Newer { .. }), "{error}");
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
        read_or_refuse(&bytes);
    }

    /// Headers that are nearly valid: a length that is too large, shapes and offsets that overflow.
    #[test]
    fn arbitrary_headers_are_read_or_refused(
        length in any::<u64>(),
        shape in proptest::collection::vec(any::<u64>(), 0..4),
        offsets in any::<(u64, u64)>(),
        tail in 0..64_usize,
    ) {
        let (from, to) = offsets;
        let header = format!(r#"{{"a":{{"dtype":"F64","shape":{shape:?},"data_offsets":[{from},{to}]}}}}"#);
        for length in [length, header.len() as u64] {
            let mut bytes = length.to_le_bytes().to_vec();
            bytes.extend(header.as_bytes());
            bytes.extend(vec![0; tail]);
            read_or_refuse(&bytes);
        }
    }

    /// Tensors of any shape are unchanged after they are written and read.
    #[test]
    fn tensors_survive_a_roundtrip(shapes in proptest::collection::btree_map("[a-z.]{1,12}", proptest::collection::vec(0..4_usize, 0..4), 0..6)) {
        let home = tempfile::tempdir().unwrap();
        let tensors: Vec<(String, Vec<usize>, Vec<u8>)> = shapes
            .into_iter()
            .map(|(name, shape)| {
                let count: usize = shape.iter().product();
                let bytes = (0..count * 4).map(|i| (i * 7 + name.len()) as u8).collect();
                (name, shape, bytes)
            })
            .collect();
        let data = tensors.iter().map(|(name, shape, bytes)| TensorData { name, dtype: Dtype::F32, shape, bytes });
        let state = serde_json::json!(null);
        let contents = Contents {
            about: about(1, None), state: &state, model: data.collect(), optimizer: Vec::new(), training: Vec::new(),
        };
        let path = write(home.path(), &contents).unwrap().path;
        let read = Checkpoint::read(&path).unwrap();
        prop_assert_eq!(read.model.len(), tensors.len());
        for ((name, view), (wrote, shape, bytes)) in read.model.iter().zip(&tensors) {
            prop_assert_eq!((name, view.shape, view.bytes), (wrote.as_str(), shape.as_slice(), bytes.as_slice()));
        }
    }
}

/// Checks that parsing any bytes succeeds or returns an error, without a panic.
fn read_or_refuse(bytes: &[u8]) {
    let path = Path::new("anything");
    let _ = Manifest::parse(path, bytes);
    let _ = parse_state(path, bytes);
    if let Ok(tensors) = Tensors::parse(path, bytes.to_vec()) {
        assert!(tensors.iter().map(|(_, view)| view.bytes.len()).sum::<usize>() <= bytes.len());
    }
}
