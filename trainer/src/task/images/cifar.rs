//! CIFAR-10 and CIFAR-100 in their binary version: for each image one or two label bytes, then 3 x 32 x 32
//! bytes.

use super::files::{Published, Raw, Source, read_limited};
use super::names;
use super::set::Set;
use crate::error::TrainError;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub(super) const TEN: Set = Set {
    id: super::CIFAR10,
    classes: 10,
    names: &names::TEN,
    mean: &[0.4914, 0.4822, 0.4465],
    deviation: &[0.2470, 0.2435, 0.2616],
    published: Published {
        folders: &["cifar-10-batches-bin"],
        first: &["data_batch_1.bin", "cifar-10-binary.tar.gz"],
        md5: &[("cifar-10-binary.tar.gz", "c32a1d4ab5d03f1284b67883e8d87530")],
        twin: None,
        from: "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
    },
};

pub(super) const HUNDRED: Set = Set {
    id: super::CIFAR100,
    classes: 100,
    names: &names::HUNDRED,
    mean: &[0.5071, 0.4865, 0.4409],
    deviation: &[0.2673, 0.2564, 0.2762],
    published: Published {
        folders: &["cifar-100-binary"],
        first: &["train.bin", "cifar-100-binary.tar.gz"],
        md5: &[("cifar-100-binary.tar.gz", "03b5dce01913d631647c71ecec9e9cb8")],
        twin: None,
        from: "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",
    },
};

const SIZE: [i64; 3] = [3, 32, 32];
const PIXELS: usize = 3 * 32 * 32;

const TEN_TRAIN: [&str; 5] =
    ["data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin"];

/// The files of a set by name, either in the folder or unpacked from its archive.
struct Files<'a> {
    set: &'a Set,
    folder: &'a Path,
    unpacked: BTreeMap<String, Vec<u8>>,
}

/// Reads the training images and the validation images of a set.
pub(super) fn read(set: &Set, folder: &Path) -> Result<(Raw, Raw), TrainError> {
    let (train, test): (&[&str], &str) =
        if set.classes == 10 { (&TEN_TRAIN, "test_batch.bin") } else { (&["train.bin"], "test.bin") };
    let wanted: Vec<&str> = train.iter().copied().chain([test]).collect();
    let files = Files::open(set, folder, &wanted)?;
    Ok((files.images(train)?, files.images(&[test])?))
}

impl<'a> Files<'a> {
    fn open(set: &'a Set, folder: &'a Path, wanted: &[&str]) -> Result<Self, TrainError> {
        let mut files = Self { set, folder, unpacked: BTreeMap::new() };
        let [first, archive] = set.published.first else { return Ok(files) };
        if folder.join(first).is_file() {
            return Ok(files);
        }
        let source = files.source(archive);
        let mut archive = tar::Archive::new(source.stream()?);
        let broken = |e: std::io::Error| source.wrong(format!("the archive is damaged: {e}"));
        let mut found: BTreeMap<String, PathBuf> = BTreeMap::new();
        for entry in archive.entries().map_err(broken)? {
            let mut entry = entry.map_err(broken)?;
            let Ok(path) = entry.path().map(std::borrow::Cow::into_owned) else { continue };
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            if !entry.header().entry_type().is_file() || !wanted.contains(&name.as_str()) {
                continue;
            }
            if let Some(earlier) = found.insert(name.clone(), path.clone()) {
                return Err(source.wrong(format!(
                    "it contains {name} twice, as {} and as {}",
                    earlier.display(),
                    path.display()
                )));
            }
            let content = read_limited(&mut entry).map_err(|e| source.wrong(format!("{name} in it: {e}")))?;
            files.unpacked.insert(name, content);
        }
        // Files that the archive lacks are not searched for in the folder: all must be of one version.
        match wanted.iter().find(|name| !files.unpacked.contains_key(**name)) {
            Some(missing) => Err(source.wrong(format!("it does not contain {missing}"))),
            None => Ok(files),
        }
    }

    fn source(&self, name: &str) -> Source<'a> {
        Source { task: self.set.id, published: &self.set.published, path: self.folder.join(name) }
    }

    fn images(&self, names: &[&str]) -> Result<Raw, TrainError> {
        let mut raw = Raw { size: SIZE, pixels: Vec::new(), labels: Vec::new() };
        for name in names {
            let source = self.source(name);
            match self.unpacked.get(*name) {
                Some(bytes) => self.split(bytes, &source, &mut raw)?,
                None => self.split(&source.read()?, &source, &mut raw)?,
            }
        }
        Ok(raw)
    }

    fn split(&self, bytes: &[u8], source: &Source<'_>, raw: &mut Raw) -> Result<(), TrainError> {
        // CIFAR-100 has a coarse label before the fine one.
        let labels = if self.set.classes == 10 { 1 } else { 2 };
        let record = labels + PIXELS;
        if bytes.is_empty() || !bytes.len().is_multiple_of(record) {
            let text = format!("its size of {} bytes is not a multiple of {record}, one image", bytes.len());
            return Err(source.wrong(text));
        }
        for (i, image) in bytes.chunks_exact(record).enumerate() {
            let (label, pixels) = image.split_at(labels);
            let label = label.last().copied().unwrap_or(u8::MAX);
            if label >= self.set.classes {
                return Err(source.wrong(format!(
                    "image {i} has label {label}; labels must be less than {}",
                    self.set.classes
                )));
            }
            raw.labels.push(label);
            raw.pixels.extend_from_slice(pixels);
        }
        Ok(())
    }
}
