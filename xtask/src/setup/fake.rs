//! Small wheels for tests.

use super::unpack::sha256;
use super::wheels::{Part, Take, Wheel};
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use zip::write::SimpleFileOptions;

const TAKES: &[Take] = &[
    Take { part: Part::Cpu, from: "torch/include", names: &[], into: "include" },
    Take { part: Part::Cpu, from: "torch/lib", names: &["libc10.so", "libtorch_cpu.so"], into: "lib" },
    Take { part: Part::Cuda, from: "torch/lib", names: &["libtorch_cuda.so"], into: "cuda" },
];

/// Writes a wheel with the given entries; the content of each entry is its own name.
pub(super) fn wheel(dir: &Path, entries: &[&str]) -> anyhow::Result<(Wheel, PathBuf)> {
    let path = dir.join("fake.whl");
    let mut zip = zip::ZipWriter::new(File::create(&path)?);
    zip.add_directory("torch/include", SimpleFileOptions::default())?;
    for entry in entries {
        zip.start_file(*entry, SimpleFileOptions::default())?;
        zip.write_all(entry.as_bytes())?;
    }
    zip.finish()?;
    let hash = sha256(&path)?;
    let wheel = Wheel {
        project: "fake",
        version: "1",
        file: "fake.whl",
        bytes: fs::metadata(&path)?.len(),
        sha256: hash.leak(),
        platform: "any",
        abi: None,
        takes: TAKES,
    };
    Ok((wheel, path))
}

/// Paths of the files below a directory, sorted and relative to it.
pub(super) fn listing(dir: &Path) -> Vec<String> {
    fn walk(dir: &Path, root: &Path, found: &mut Vec<String>) {
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            let path = entry.path();
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                walk(&path, root, found);
            } else if let Ok(path) = path.strip_prefix(root) {
                found.push(path.to_string_lossy().into_owned());
            }
        }
    }
    let mut found = Vec::new();
    walk(dir, dir, &mut found);
    found.sort();
    found
}
