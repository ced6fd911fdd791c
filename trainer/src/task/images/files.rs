//! Finding the files of a set, reading them whole or packed, and saying what is the matter with them.

use crate::error::TrainError;
use flate2::read::MultiGzDecoder;
use kasmina_files::{limit, open_regular, read};
use md5::{Digest as _, Md5};
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

/// Images and labels as they are in the files.
pub(super) struct Raw {
    /// Channels, height and width of an image.
    pub(super) size: [i64; 3],
    pub(super) pixels: Vec<u8>,
    pub(super) labels: Vec<u8>,
}

/// Where a set comes from, and what its published files are.
pub(super) struct Published {
    /// Folders that it is usually unpacked to, below the data folder; the data folder itself comes last.
    pub(super) folders: &'static [&'static str],
    /// A file that exists when the set does.
    pub(super) first: &'static [&'static str],
    /// Files and the MD5 that is published for them.
    pub(super) md5: &'static [(&'static str, &'static str)],
    /// Another set whose files have the same names.
    pub(super) twin: Option<Twin>,
    /// What to fetch, from where.
    pub(super) from: &'static str,
}

/// A set that another is easily taken for.
pub(super) struct Twin {
    /// Id of the task.
    pub(super) id: &'static str,
    /// Its files and their MD5.
    pub(super) md5: &'static [(&'static str, &'static str)],
}

impl Published {
    /// The folder that holds the set.
    pub(super) fn folder(&self, task: &'static str, dir: Option<&Path>) -> Result<PathBuf, TrainError> {
        let help =
            || format!("download {}, and name its folder with --data-dir or KASMINA_DATA_DIR", self.from);
        let wrong = |reason: String| TrainError::Data { task, reason, help: help() };
        let Some(dir) = dir else {
            return Err(wrong("no folder is named that its files could be in".to_owned()));
        };
        if !dir.is_dir() {
            return Err(wrong(format!("{} is no folder", dir.display())));
        }
        let places = self.folders.iter().map(|f| dir.join(f)).chain([dir.to_owned()]);
        let holds = |place: &PathBuf| find(place, self.first).is_some();
        places.clone().find(holds).ok_or_else(|| {
            let looked: Vec<String> = places.map(|p| p.display().to_string()).collect();
            wrong(format!("there is no {} in {}", self.first.join(" or "), looked.join(", ")))
        })
    }

    /// Tells of a file that is not the published one; it may be a part of it on purpose. A file of another
    /// set is refused.
    fn compare(&self, path: &Path, md5: &str) -> Result<(), String> {
        let name = path.file_name().unwrap_or_default().to_string_lossy().replace(".idx", "-idx");
        if let Some(twin) = &self.twin
            && let Some((file, _)) = twin.md5.iter().find(|(_, of_twin)| *of_twin == md5)
        {
            return Err(format!("it is {file} of {}", twin.id));
        }
        let Some((_, published)) = self.md5.iter().find(|(file, _)| name == *file) else { return Ok(()) };
        if md5 != *published {
            tracing::warn!(
                "{} is not the published file: its MD5 is {md5}, published is {published}",
                path.display()
            );
        }
        Ok(())
    }
}

/// The first of some files that exists in a folder: by its name, with a dot in it as some archives have it,
/// or in a folder of its own name.
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

    /// The file's bytes; one that is packed (`.gz`) is unpacked.
    pub(super) fn read(&self) -> Result<Vec<u8>, TrainError> {
        let bytes = read(&self.path, limit::IMAGES).map_err(|e| self.wrong(e))?;
        let md5 = hex::encode(Md5::digest(&bytes));
        self.published.compare(&self.path, &md5).map_err(|reason| self.other_set(&reason))?;
        if !self.is_packed() {
            return Ok(bytes);
        }
        read_some(&mut MultiGzDecoder::new(bytes.as_slice()))
            .map_err(|e| self.wrong(format!("it cannot be unpacked: {e}")))
    }

    /// The file's bytes as they come, unpacked; for archives, of which only a part is wanted.
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
            help: format!("download {}, or name the other task", self.published.from),
        }
    }
}

/// Reads a stream to its end, which must not lie behind the limit of a file of images.
pub(super) fn read_some(stream: &mut impl Read) -> std::io::Result<Vec<u8>> {
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

    /// MNIST and Fashion-MNIST have files of the same names, sizes and labels.
    #[test]
    fn a_file_of_the_other_set_is_refused_by_what_it_holds() {
        let mnist = "6bbc9ace898e44ae57da46a324031adb";
        let path = Path::new("train-images-idx3-ubyte");
        let told = idx::FASHION.published.compare(path, mnist);
        assert_eq!(told, Err("it is train-images-idx3-ubyte of mnist".to_owned()));
        assert_eq!(idx::MNIST.published.compare(path, mnist), Ok(()));
        let fashion = "8181f5470baa50b63fa0f6fddb340f0a";
        assert!(idx::MNIST.published.compare(Path::new("t10k-images.idx3-ubyte"), fashion).is_err());
    }
}
