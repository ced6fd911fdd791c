//! Learning from real files: small ones, in the exact formats, through the real command and the real loop.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failed step is a failed test")]

use flate2::Compression;
use flate2::write::GzEncoder;
use kasmina_tests::{kasmina, output, runs};
use kasmina_trainer::{RunConfig, Trainer};
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::sync::atomic::AtomicBool;

/// An image that its label can be read off: as bright as the class is high, with a pattern of its own.
fn image(label: usize, classes: usize, number: usize, pixels: usize) -> Vec<u8> {
    let bright = 20 + 200 * label / classes;
    (0..pixels).map(|i| (bright + (i * 7 + number * 13) % 17) as u8).collect()
}

fn cifar(folder: &Path, archive: bool) {
    let file = |images: usize| -> Vec<u8> {
        (0..images).flat_map(|i| [vec![(i % 10) as u8], image(i % 10, 10, i, 3072)].concat()).collect()
    };
    let mut files: Vec<(String, Vec<u8>)> =
        (1..=5).map(|i| (format!("data_batch_{i}.bin"), file(20))).collect();
    files.push(("test_batch.bin".to_owned(), file(30)));
    let inner = "cifar-10-batches-bin";
    if !archive {
        fs::create_dir(folder.join(inner)).unwrap();
        for (name, bytes) in files {
            fs::write(folder.join(inner).join(name), bytes).unwrap();
        }
        return;
    }
    let gz =
        GzEncoder::new(fs::File::create(folder.join("cifar-10-binary.tar.gz")).unwrap(), Compression::fast());
    let mut tar = tar::Builder::new(gz);
    for (name, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        tar.append_data(&mut header, format!("{inner}/{name}"), bytes.as_slice()).unwrap();
    }
    tar.into_inner().unwrap().finish().unwrap();
}

fn cifar100(folder: &Path) {
    let file = |images: usize| -> Vec<u8> {
        let one = |i: usize| [vec![0, (i % 100) as u8], image(i % 100, 100, i, 3072)].concat();
        (0..images).flat_map(one).collect()
    };
    fs::create_dir(folder.join("cifar-100-binary")).unwrap();
    fs::write(folder.join("cifar-100-binary/train.bin"), file(100)).unwrap();
    fs::write(folder.join("cifar-100-binary/test.bin"), file(30)).unwrap();
}

fn idx(dimensions: &[u32], elements: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, dimensions.len() as u8];
    bytes.extend(dimensions.iter().flat_map(|n| n.to_be_bytes()));
    bytes.extend(elements);
    bytes
}

fn mnist(folder: &Path, packed: bool) {
    fs::create_dir_all(folder).unwrap();
    for (which, images) in [("train", 100_u32), ("t10k", 30)] {
        let labels: Vec<u8> = (0..images).map(|i| (i % 10) as u8).collect();
        let pixels: Vec<u8> = (0..images as usize).flat_map(|i| image(i % 10, 10, i, 784)).collect();
        for (name, bytes) in [
            ("images-idx3-ubyte", idx(&[images, 28, 28], &pixels)),
            ("labels-idx1-ubyte", idx(&[images], &labels)),
        ] {
            let path = folder.join(format!("{which}-{name}"));
            if packed {
                let mut gz = GzEncoder::new(Vec::new(), Compression::fast());
                gz.write_all(&bytes).unwrap();
                fs::write(
                    path.with_extension("gz").with_file_name(format!("{which}-{name}.gz")),
                    gz.finish().unwrap(),
                )
                .unwrap();
            } else {
                fs::write(path, bytes).unwrap();
            }
        }
    }
}

/// Trains a little and answers with the losses, epoch by epoch, and the last accuracy.
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
fn standard_images_are_learned_from_their_standard_files() {
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
    assert_eq!(unpacked, train("cifar10", |c| small(c, &archive)), "files and archive hold the same");
    assert!(unpacked.1 > 50.0, "{unpacked:?}");
    let other = train("cifar10", |c| {
        small(c, &plain);
        c.data.crop = 0;
    });
    assert_ne!(unpacked.0, other.0, "images are moved");

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
fn sums_and_text_are_learned_by_a_decoder() {
    let small = |config: &mut RunConfig| {
        config.data.train_samples = Some(400);
        config.data.validation_samples = Some(100);
        config.host.config.insert("n_embd".into(), 16.into());
    };
    let (losses, accuracy) = train("addition", small);
    assert!(losses.last() < losses.first() && accuracy > 12.0, "{losses:?} {accuracy}");
    assert_eq!(train("addition", small).0, losses, "the same each time");

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
fn what_is_wrong_with_data_is_told_with_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    fs::create_dir(root.join("empty")).unwrap();
    for name in ["cut", "label", "magic", "header", "unpacked", "archive"] {
        fs::create_dir(root.join(name)).unwrap();
    }
    cifar(&root.join("cut"), false);
    let batch = root.join("cut/cifar-10-batches-bin/data_batch_3.bin");
    let bytes = fs::read(&batch).unwrap();
    fs::write(&batch, &bytes[..bytes.len() - 1]).unwrap();
    cifar(&root.join("label"), false);
    let batch = root.join("label/cifar-10-batches-bin/test_batch.bin");
    let mut bytes = fs::read(&batch).unwrap();
    bytes[3073 * 4] = 10;
    fs::write(&batch, bytes).unwrap();
    mnist(&root.join("magic"), false);
    fs::write(root.join("magic/train-images-idx3-ubyte"), b"PK\x03\x04 no images").unwrap();
    mnist(&root.join("header"), false);
    fs::write(root.join("header/t10k-labels-idx1-ubyte"), idx(&[30], &[1; 29])).unwrap();
    mnist(&root.join("unpacked"), true);
    let gz = root.join("unpacked/train-labels-idx1-ubyte.gz");
    let bytes = fs::read(&gz).unwrap();
    fs::write(&gz, &bytes[..bytes.len() / 2]).unwrap();
    cifar(&root.join("archive"), true);
    let tar = root.join("archive/cifar-10-binary.tar.gz");
    let bytes = fs::read(&tar).unwrap();
    fs::write(&tar, &bytes[..bytes.len() / 2]).unwrap();
    fs::write(root.join("short.txt"), "too short").unwrap();
    fs::write(root.join("latin.txt"), b"na\xefve").unwrap();

    let mut all = String::new();
    for args in [
        &["--task", "cifar10"][..],
        &["--task", "cifar10", "--data-dir", "nowhere"],
        &["--task", "cifar100", "--data-dir", "empty"],
        &["--task", "mnist", "--data-dir", "empty"],
        &["--task", "cifar10", "--data-dir", "cut"],
        &["--task", "cifar10", "--data-dir", "label"],
        &["--task", "cifar10", "--data-dir", "archive"],
        &["--task", "mnist", "--data-dir", "magic"],
        &["--task", "fashion_mnist", "--data-dir", "header"],
        &["--task", "mnist", "--data-dir", "unpacked"],
        &["--task", "chars"],
        &["--task", "chars", "--text", "no_such.txt"],
        &["--task", "chars", "--text", "short.txt"],
        &["--task", "chars", "--text", "latin.txt"],
        &["--task", "addition", "--host", "resnet"],
    ] {
        let mut command = kasmina(root);
        command.args(["train", "--device", "cpu", "--epochs", "2", "--out", "out"]).args(args);
        let (stdout, stderr, code) = output(command);
        assert!(stdout.is_empty() && code == Some(1), "{args:?}: {code:?} {stderr}");
        assert!(!root.join("out").exists(), "{args:?}: nothing is written");
        let told = stderr.replace(&*root.to_string_lossy(), "[DIR]");
        let lines: Vec<&str> = told.lines().map(str::trim_end).filter(|l| !l.is_empty()).collect();
        let _ = writeln!(all, "$ kasmina train {}\n{}\n", args.join(" "), lines.join("\n"));
    }
    insta::with_settings!({ filters => vec![("its MD5 is [0-9a-f]{32}", "its MD5 is [MD5]")] }, {
        insta::assert_snapshot!(all);
    });
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
    // As resolved: from anywhere the run finds its data again, and its host knows what it reads.
    let config = RunConfig::from_file(&dir.path().join("out/config.toml")).unwrap();
    assert_eq!(config.data.dir, Some(dir.path().canonicalize().unwrap().join("data")));
    // What the host was told of the data is not the user's word: another task has other classes.
    assert!(config.host.config.is_empty(), "{:?}", config.host.config);
}
