//! Finding, checking and reading the published files of an image set.

use crate::error::TrainError;
use flate2::read::MultiGzDecoder;
use kasmina_files::{limit, open_regular, read};
use md5::{Digest as _, Md5};
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

/// Images and labels as read from the files.
pub(super) struct Raw {
    /// Channels, height and width of an image.
    pub(super) size: [i64; 3],
    pub(super) pixels: Vec<u8>,
    pub(super) labels: Vec<u8>,
}

/// The published files of a set.
pub(super) struct Published {
    /// Folders below the data folder in which the set is searched, before the data folder itself.
    pub(super) folders: &'static [&'static str],
    /// Names of the file by which a folder of the set is recognised, unpacked and packed.
    pub(super) first: &'static [&'static str],
    /// Names of files with their published MD5.
    pub(super) md5: &'static [(&'static str, &'static str)],
    /// Another set whose files have the same names.
    pub(super) twin: Option<Twin>,
    /// What to download from which address, for messages.
    pub(super) from: &'static str,
}

/// A set whose files have the same names as another's.
pub(super) struct Twin {
    /// Id of the task.
    pub(super) id: &'static str,
    /// Names of its files with their MD5.
    pub(super) md5: &'static [(&'static str, &'static str)],
}

impl Published {
    /// Finds the folder of the set.
    pub(super) fn folder(&self, task: &'static str, dir: Option<&Path>) -> Result<PathBuf, TrainError> {
        let help =
            || format!("download {}, and pass its folder as --data-dir or KASMINA_DATA_DIR", self.from);
        let wrong = |reason: String| TrainError::Data { task, reason, help: help() };
        let Some(dir) = dir else {
            return Err(wrong("no data folder is set".to_owned()));
        };
        if !dir.is_dir() {
            return Err(wrong(format!("{} is not a folder", dir.display())));
        }
        let places = self.folders.iter().map(|f| dir.join(f)).chain([dir.to_owned()]);
        let holds = |place: &PathBuf| find(place, self.first).is_some();
        places.clone().find(holds).ok_or_else(|| {
            let looked: Vec<String> = places.map(|p| p.display().to_string()).collect();
            wrong(format!("there is no {} in {}", self.first.join(" or "), looked.join(", ")))
        })
    }

    /// Warns of a file that differs from the published one, which may be intended. Refuses a file of the twin
    /// set.
    fn compare(&self, path: &Path, md5: &str) -> Result<(), String> {
        let name = path.file_name().unwrap_or_default().to_string_lossy().replace(".idx", "-idx");
        if let Some(twin) = &self.twin
            && let Some((file, _)) = twin.md5.iter().find(|(_, of_twin)| *of_twin == md5)
        {
            return Err(format!("it is the {file} of task `{}`", twin.id));
        }
        let Some((_, published)) = self.md5.iter().find(|(file, _)| name == *file) else { return Ok(()) };
        if md5 != *published {
            tracing::warn!(
                "{} differs from the published file: its MD5 is {md5}, the published one is {published}",
                path.display()
            );
        }
        Ok(())
    }
}

/// Finds the first of some files that exists in a folder: under its name, under its name with `.idx` for
/// `-idx` as in some archives, or in a folder of its own name.
pub(super) fn find(folder: &Path, names: &[&str]) -> Option<PathBuf> {
    let places = names.iter().flat_map(|name| {
        [(*name).to_owned(), name.replace("-idx", ".idx")].map(|name| {
            let path = folder.join(&name);
            let inner = path.join(&name);
            [path, inner]
        })
    });
    places.flatten().find(|path| path.is_file())
}

/// A file of a set.
pub(super) struct Source<'a> {
    pub(super) task: &'static str,
    pub(super) published: &'a Published,
    pub(super) path: PathBuf,
}

impl Source<'_> {
    pub(super) fn wrong(&self, reason: impl std::fmt::Display) -> TrainError {
        TrainError::Data {
            task: self.task,
            reason: format!("{}: {reason}", self.path.display()),
            help: format!("download {} again", self.published.from),
        }
    }

    /// Checks and reads the file, and unpacks a `.gz` file.
    pub(super) fn read(&self) -> Result<Vec<u8>, TrainError> {
        let bytes = read(&self.path, limit::IMAGES).map_err(|e| self.wrong(e))?;
        let md5 = hex::encode(Md5::digest(&bytes));
        self.published.compare(&self.path, &md5).map_err(|reason| self.other_set(&reason))?;
        if !self.is_packed() {
            return Ok(bytes);
        }
        read_limited(&mut MultiGzDecoder::new(bytes.as_slice()))
            .map_err(|e| self.wrong(format!("it cannot be unpacked: {e}")))
    }

    /// Checks the file and returns a stream of its unpacked bytes, for archives of which only a part is read.
    pub(super) fn stream(&self) -> Result<Box<dyn Read>, TrainError> {
        let open = || -> std::io::Result<File> { open_regular(&self.path) };
        let mut digest = Md5::new();
        let mut file = BufReader::new(open().map_err(|e| self.wrong(e))?);
        let mut part = vec![0; 1 << 16];
        loop {
            match file.read(&mut part).map_err(|e| self.wrong(e))? {
                0 => break,
                n => digest.update(&part[..n]),
            }
        }
        let md5 = hex::encode(digest.finalize());
        self.published.compare(&self.path, &md5).map_err(|reason| self.other_set(&reason))?;
        let file = BufReader::new(open().map_err(|e| self.wrong(e))?);
        Ok(if self.is_packed() { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) })
    }

    fn is_packed(&self) -> bool {
        self.path.extension().is_some_and(|end| end == "gz")
    }

    fn other_set(&self, reason: &str) -> TrainError {
        TrainError::Data {
            task: self.task,
            reason: format!("{}: {reason}", self.path.display()),
            help: format!("download {}, or choose the other task", self.published.from),
        }
    }
}

/// Reads a stream to its end. Refuses more bytes than the limit of an image file.
pub(super) fn read_limited(stream: &mut impl Read) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    stream.take(limit::IMAGES.bytes + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit::IMAGES.bytes {
        let text = format!("it is larger than the limit of {} bytes", limit::IMAGES.bytes);
        return Err(std::io::Error::new(std::io::ErrorKind::FileTooLarge, text));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::super::idx;
    use std::path::Path;

    /// The files of MNIST and Fashion-MNIST have the same names, sizes and labels, so only a hash
    /// distinguishes them.
    #[test]
    fn a_file_of_the_twin_set_is_refused_by_its_hash() {
        let mnist = "6bbc9ace898e44ae57da46a324031adb";
        let path = Path::new("train-images-idx3-ubyte");
        let found = idx::FASHION.published.compare(path, mnist);
        assert_eq!(found, Err("it is the train-images-idx3-ubyte of task `mnist`".to_owned()));
        assert_eq!(idx::MNIST.published.compare(path, mnist), Ok(()));
        let fashion = "8181f5470baa50b63fa0f6fddb340f0a";
        assert!(idx::MNIST.published.compare(Path::new("t10k-images.idx3-ubyte"), fashion).is_err());
    }
}
