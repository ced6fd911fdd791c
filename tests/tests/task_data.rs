//! Learning from real files: small ones, in the exact formats, through the real command and the real loop.

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

/// Rewrites the archive of CIFAR-10 with the entries that `change` makes of its own.
fn rewritten(folder: &Path, change: impl Fn(&str, Vec<u8>) -> Vec<(String, Vec<u8>)>) {
    use std::io::Read as _;
    let path = folder.join("cifar-10-binary.tar.gz");
    let mut old = tar::Archive::new(flate2::read::GzDecoder::new(fs::File::open(&path).unwrap()));
    let mut entries = Vec::new();
    for entry in old.entries().unwrap() {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().display().to_string();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        entries.extend(change(&name, bytes));
    }
    let mut new = tar::Builder::new(GzEncoder::new(fs::File::create(&path).unwrap(), Compression::fast()));
    for (name, bytes) in entries {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        new.append_data(&mut header, name, bytes.as_slice()).unwrap();
    }
    new.into_inner().unwrap().finish().unwrap();
}

fn refused(task: &str, change: impl FnOnce(&mut RunConfig)) -> String {
    let mut config = RunConfig::for_task(task).unwrap();
    config.device = "cpu".into();
    change(&mut config);
    Trainer::prepare(config, &kasmina_tests::registry(&[])).map(drop).unwrap_err().to_string()
}

#[test]
fn an_archive_with_two_files_of_one_name_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    cifar(folder.path(), true);
    let of = |config: &mut RunConfig| config.data.dir = Some(folder.path().to_owned());
    rewritten(folder.path(), |name, bytes| {
        let twice = name.ends_with("/test_batch.bin");
        let backup = twice.then(|| ("backup/test_batch.bin".to_owned(), bytes.clone()));
        std::iter::once((name.to_owned(), bytes)).chain(backup).collect()
    });
    let told = refused("cifar10", of);
    let here = folder.path().display().to_string();
    insta::assert_snapshot!("a_file_that_is_twice_in_an_archive", told.replace(&here, "[DIR]"));
    rewritten(folder.path(), |name, bytes| {
        if name.ends_with("/test_batch.bin") { Vec::new() } else { vec![(name.to_owned(), bytes)] }
    });
    let told = refused("cifar10", of);
    insta::assert_snapshot!("a_file_that_is_not_in_an_archive", told.replace(&here, "[DIR]"));
}

/// What nobody wants of an archive is not read, however large it says it is.
#[test]
fn a_file_that_is_too_large_is_refused_before_it_fills_the_memory() {
    let folder = tempfile::tempdir().unwrap();
    let name = folder.path().join("cifar-10-binary.tar.gz");
    let mut tar = tar::Builder::new(GzEncoder::new(fs::File::create(name).unwrap(), Compression::fast()));
    for (name, size) in [("readme.bin", 1_u64 << 30), ("cifar-10-batches-bin/data_batch_1.bin", 600 << 20)] {
        let mut header = tar::Header::new_gnu();
        header.set_size(size);
        header.set_mode(0o644);
        header.set_cksum();
        tar.append_data(&mut header, name, std::io::Read::take(std::io::repeat(0), size)).unwrap();
    }
    tar.into_inner().unwrap().finish().unwrap();
    let told = refused("cifar10", |config| config.data.dir = Some(folder.path().to_owned()));
    insta::assert_snapshot!(told.replace(&folder.path().display().to_string(), "[DIR]"));
}

#[test]
fn files_are_found_by_the_names_that_they_go_by() {
    let folder = tempfile::tempdir().unwrap();
    let plain = folder.path().join("plain");
    mnist(&plain, false);
    let (mut losses, _) = train("mnist", |config| config.data.dir = Some(plain.clone()));
    let mut same = |place: &Path| {
        let (others, _) = train("mnist", |config| config.data.dir = Some(place.to_owned()));
        assert_eq!(losses, others, "{}", place.display());
        losses = others;
    };
    // With a dot, in a folder of its own name, and packed in two pieces.
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

/// A run that cannot begin says what is in its way and leaves nothing behind.
#[test]
fn what_surrounds_a_run_is_told_apart_from_its_data() {
    use std::os::unix::ffi::OsStrExt as _;
    let home = tempfile::tempdir().unwrap();
    let text = home.path().join("text");
    fs::write(&text, "a text of some letters ".repeat(200)).unwrap();
    let chars = |change: &dyn Fn(&mut std::process::Command)| {
        let mut command = kasmina(home.path());
        command.args(["train", "--task", "chars", "--epochs", "1", "--out", "run", "--no-seeds"]);
        change(&mut command);
        let (_, error, code) = output(command);
        assert_eq!(code, Some(1), "{error}");
        assert!(!home.path().join("run").exists(), "{error}");
        error.replace(&home.path().display().to_string(), "[DIR]")
    };
    let mut all = String::new();
    let told = chars(&|command| {
        command.arg("--text").arg(&text).env("TMPDIR", "/nonexistent");
    });
    let _ = writeln!(all, "a folder for temporary files that is not there\n{told}");
    let pipe = home.path().join("pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    let told = chars(&|command| {
        command.arg("--text").arg(&pipe);
    });
    let _ = writeln!(all, "a pipe\n{told}");
    let odd = home.path().join(std::ffi::OsStr::from_bytes(b"te\xffxt"));
    fs::copy(&text, &odd).unwrap();
    let told = chars(&|command| {
        command.arg("--text").arg(&odd);
    });
    let _ = writeln!(all, "a path that is not UTF-8\n{told}");
    let gone = home.path().join("gone");
    fs::create_dir(&gone).unwrap();
    let mut shell = std::process::Command::new("sh");
    let program = kasmina_tests::built().join("kasmina-alone/kasmina");
    shell.args(["-c", "cd \"$1\" && rmdir \"$1\" && exec \"$2\" plugins list", "sh"]).arg(&gone).arg(program);
    let (_, error, code) = output(shell);
    assert_eq!(code, Some(1));
    let _ = writeln!(all, "a working directory that is gone\n{error}");
    insta::assert_snapshot!(all);
}

/// A text is read, and a network made, in proportion to its alphabet. What looks like no text is said before
/// that.
#[test]
fn a_large_alphabet_is_warned_of_with_its_cost() {
    let home = tempfile::tempdir().unwrap();
    let text = home.path().join("text");
    // 6,000 characters from U+4E00 on.
    let letters: String = (0x4E00..0x4E00 + 6000).filter_map(char::from_u32).collect();
    fs::write(&text, letters).unwrap();
    // Longer than the text allows, so that nothing is trained.
    fs::write(home.path().join("run.toml"), "[data]\nsequence_length = 512\n").unwrap();
    let mut command = kasmina(home.path());
    command.args([
        "train",
        "--task",
        "chars",
        "--config",
        "run.toml",
        "--out",
        "run",
        "--no-seeds",
        "--text",
    ]);
    command.arg(&text);
    let (_, error, code) = output(command);
    assert_eq!(code, Some(1), "{error}");
    insta::assert_snapshot!(error.replace(&home.path().display().to_string(), "[DIR]"));
}
