//! Training on files in each format and under each name.

use crate::files::{cifar, cifar100, mnist};
use flate2::Compression;
use flate2::write::GzEncoder;
use kasmina_tests::{kasmina, output, runs};
use kasmina_trainer::{RunConfig, Trainer};
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::sync::atomic::AtomicBool;

/// Trains a few epochs and returns the training loss of each epoch, and the final validation accuracy.
fn train(task: &str, change: impl FnOnce(&mut RunConfig)) -> (Vec<f64>, f64) {
    let mut config = RunConfig::for_task(task).unwrap();
    config.epochs = 4;
    config.device = "cpu".into();
    config.disable_seeds = true;
    config.optimizer.batch_size = 20;
    change(&mut config);
    let registry = kasmina_tests::registry(&[]);
    let out = tempfile::tempdir().unwrap();
    let run = out.path().join("run");
    let trainer = Trainer::prepare(config, &registry).unwrap();
    let summary = trainer.run(Some(&run), &mut (), &AtomicBool::new(false)).unwrap();
    let lines = runs::lines(&run.join("metrics.jsonl"));
    let losses = lines.iter().map(|line| line["train_loss"].as_f64().unwrap()).collect();
    (losses, summary.final_val_accuracy.unwrap())
}

#[test]
fn image_tasks_learn_from_their_original_files() {
    let folder = tempfile::tempdir().unwrap();
    let small = |config: &mut RunConfig, path: &Path| {
        config.data.dir = Some(path.to_owned());
        config.host.config.insert("base_channels".into(), 4.into());
        config.optimizer.learning_rate = 1e-2;
        config.epochs = 8;
    };
    let place = |name: &str| {
        let place = folder.path().join(name);
        fs::create_dir(&place).unwrap();
        place
    };
    let (plain, archive) = (place("plain"), place("archive"));
    cifar(&plain, false);
    cifar(&archive, true);
    let unpacked = train("cifar10", |c| small(c, &plain));
    assert_eq!(unpacked, train("cifar10", |c| small(c, &archive)), "files and archive contain the same data");
    assert!(unpacked.1 > 50.0, "{unpacked:?}");
    let other = train("cifar10", |c| {
        small(c, &plain);
        c.data.crop = 0;
    });
    assert_ne!(unpacked.0, other.0, "training images are cropped at random");

    let hundred = place("hundred");
    cifar100(&hundred);
    let (losses, _) = train("cifar100", |c| small(c, &hundred));
    assert!(losses.last() < losses.first(), "{losses:?}");

    let (mnist_files, fashion) = (place("a"), place("b"));
    mnist(&mnist_files.join("MNIST/raw"), true);
    mnist(&fashion, false);
    let (packed, plain) =
        (train("mnist", |c| small(c, &mnist_files)), train("fashion_mnist", |c| small(c, &fashion)));
    assert!(packed.1 > 50.0 && plain.1 > 50.0, "{packed:?} {plain:?}");
}

#[test]
fn addition_and_text_are_learned_by_a_transformer() {
    let small = |config: &mut RunConfig| {
        config.data.train_samples = Some(400);
        config.data.validation_samples = Some(100);
        config.host.config.insert("n_embd".into(), 16.into());
    };
    let (losses, accuracy) = train("addition", small);
    assert!(losses.last() < losses.first() && accuracy > 12.0, "{losses:?} {accuracy}");
    assert_eq!(train("addition", small).0, losses, "training is reproducible");

    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), "the quick brown fox jumps over the lazy dög. ".repeat(200)).unwrap();
    let text = |config: &mut RunConfig| {
        config.data.text = Some(file.path().to_owned());
        config.data.sequence_length = 16;
    };
    let (losses, accuracy) = train("chars", text);
    assert!(accuracy > 60.0, "{losses:?} {accuracy}");
}

#[test]
fn the_folder_of_the_data_may_come_from_the_environment() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("data")).unwrap();
    cifar(&dir.path().join("data"), false);
    let mut command = kasmina(dir.path());
    command
        .env("KASMINA_DATA_DIR", "data")
        .args(["train", "--task", "cifar10", "--host", "resnet", "--epochs", "1"]);
    command.args(["--device", "cpu", "--no-seeds", "--out", "out"]);
    let (_, stderr, code) = output(command);
    assert_eq!(code, Some(0), "{stderr}");
    // The written configuration has an absolute path, so that it can be used from another directory.
    let config = RunConfig::from_file(&dir.path().join("out/config.toml")).unwrap();
    assert_eq!(config.data.dir, Some(dir.path().canonicalize().unwrap().join("data")));
    // Settings that the host got from the data are not written: they differ from task to task.
    assert!(config.host.config.is_empty(), "{:?}", config.host.config);
}

#[test]
fn mnist_files_are_found_under_each_of_their_usual_names() {
    let folder = tempfile::tempdir().unwrap();
    let plain = folder.path().join("plain");
    mnist(&plain, false);
    let (mut losses, _) = train("mnist", |config| config.data.dir = Some(plain.clone()));
    let mut same = |place: &Path| {
        let (others, _) = train("mnist", |config| config.data.dir = Some(place.to_owned()));
        assert_eq!(losses, others, "{}", place.display());
        losses = others;
    };
    // Named with a dot, in a folder of the file's name, and compressed as two gzip members.
    let (dotted, inner, pieces) =
        (folder.path().join("dotted"), folder.path().join("inner"), folder.path().join("pieces"));
    for place in [&dotted, &inner, &pieces] {
        fs::create_dir(place).unwrap();
    }
    for entry in fs::read_dir(&plain).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        fs::copy(&path, dotted.join(name.replace("-idx", ".idx"))).unwrap();
        fs::create_dir(inner.join(&name)).unwrap();
        fs::copy(&path, inner.join(&name).join(&name)).unwrap();
        let bytes = fs::read(&path).unwrap();
        let packed: Vec<u8> = bytes
            .chunks(bytes.len() / 2 + 1)
            .flat_map(|piece| {
                let mut gz = GzEncoder::new(Vec::new(), Compression::fast());
                gz.write_all(piece).unwrap();
                gz.finish().unwrap()
            })
            .collect();
        fs::write(pieces.join(format!("{name}.gz")), packed).unwrap();
    }
    same(&dotted);
    same(&inner);
    same(&pieces);
}
