//! Wrong data and other obstacles, each with its message.

use crate::files::{cifar, idx, mnist, rewrite};
use flate2::Compression;
use flate2::write::GzEncoder;
use kasmina_tests::{kasmina, output};
use kasmina_trainer::{RunConfig, Trainer};
use std::fmt::Write as _;
use std::fs;

#[test]
fn wrong_data_is_refused_with_a_remedy() {
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
    rewrite(folder.path(), |name, bytes| {
        let twice = name.ends_with("/test_batch.bin");
        let backup = twice.then(|| ("backup/test_batch.bin".to_owned(), bytes.clone()));
        std::iter::once((name.to_owned(), bytes)).chain(backup).collect()
    });
    let told = refused("cifar10", of);
    let here = folder.path().display().to_string();
    insta::assert_snapshot!("a_file_that_is_twice_in_an_archive", told.replace(&here, "[DIR]"));
    rewrite(folder.path(), |name, bytes| {
        if name.ends_with("/test_batch.bin") { Vec::new() } else { vec![(name.to_owned(), bytes)] }
    });
    let told = refused("cifar10", of);
    insta::assert_snapshot!("a_file_that_is_not_in_an_archive", told.replace(&here, "[DIR]"));
}

/// An unused entry of an archive is skipped, whatever its size; a wanted entry above the limit is refused.
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

/// A run that cannot begin names its obstacle and writes nothing.
#[test]
fn obstacles_outside_of_the_data_are_named() {
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

/// The size of the network grows with the alphabet, so a large one is warned of before the network is built.
#[test]
fn a_large_alphabet_gives_a_warning() {
    let home = tempfile::tempdir().unwrap();
    let text = home.path().join("text");
    // 6,000 characters from U+4E00 on.
    let letters: String = (0x4E00..0x4E00 + 6000).filter_map(char::from_u32).collect();
    fs::write(&text, letters).unwrap();
    // The sequence is longer than the text allows, so that the run is refused before training.
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
