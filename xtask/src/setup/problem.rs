//! Errors of the set-up. Each message says what happened, where, and what to do.

use std::io;
use std::path::{Path, PathBuf};

use super::partial::PARTIAL;
use super::wheels::TORCH_VERSION;

/// An error of the set-up that the user can correct.
#[derive(Debug, thiserror::Error)]
pub(super) enum Problem {
    #[error(
        "there is no C++ compiler: none of c++, g++ and clang++ is on PATH.\n  \
         The torch bindings are C++. Install one (`apt-get install g++` or `dnf install gcc-c++`) or set CXX."
    )]
    NoCompiler,

    #[error("CXX names `{cxx}`, but there is no such program on PATH.\n  Correct CXX, or unset it.")]
    NoSuchCxx { cxx: String },

    #[error(
        "there is no prebuilt libtorch for {arch} {os}; only for x86_64 linux with glibc.\n  \
         Install libtorch {TORCH_VERSION} yourself and set LIBTORCH to its directory."
    )]
    Platform { arch: &'static str, os: &'static str },

    #[error(
        "`{program}` is not on PATH; its pip fetches libtorch.\n  \
         Install it (`apt-get install python3-pip` or `dnf install python3-pip`), \
         or set LIBTORCH to the directory of a libtorch {TORCH_VERSION}."
    )]
    NoPython { program: &'static str },

    #[error(
        "`{program}` has no pip, which fetches libtorch.\n  \
         Install it (`apt-get install python3-pip`, `dnf install python3-pip` or \
         `{program} -m ensurepip --user`), \
         or set LIBTORCH to the directory of a libtorch {TORCH_VERSION}."
    )]
    NoPip { program: &'static str },

    #[error(
        "pip could not fetch {wheel}. Its last lines:\n{tail}\n  \
         Nothing incomplete is left behind: when the network is back, run the same command again.\n  \
         A machine without network can set LIBTORCH to the directory of a libtorch {TORCH_VERSION}."
    )]
    Pip { wheel: String, tail: String },

    #[error(
        "pip fetched {found} instead of {wanted}.\n  \
         Is pip configured for another index? See `python3 -m pip config list`, PIP_INDEX_URL and \
         PIP_EXTRA_INDEX_URL."
    )]
    OtherWheel { wanted: &'static str, found: String },

    #[error(
        "{file} is not the file that was pinned.\n  wanted sha256 {wanted}\n  found  sha256 {found}\n  \
         It was deleted. Run the same command again; if that does not help, see which index pip is \
         configured for (`python3 -m pip config list`)."
    )]
    Hash { file: String, wanted: &'static str, found: String },

    #[error("{wheel} has no {entry}: its layout is not the one that the set-up expects.")]
    Layout { wheel: &'static str, entry: String },

    #[error(
        "the disk is full at {}.\n  \
         Make room, or choose another place for the cache with XDG_CACHE_HOME=<directory>, and run the same \
         command again.",
        dir.display()
    )]
    DiskFull { dir: PathBuf },

    #[error(
        "{} has {} MB free; {what} needs {} MB there while it is unpacked.\n  \
         Make room, or choose another place for the cache with XDG_CACHE_HOME=<directory>.",
        dir.display(), free / 1_000_000, needed / 1_000_000
    )]
    NoRoom { what: &'static str, dir: PathBuf, free: u64, needed: u64 },

    #[error(
        "{source_name} is version {found}, but this repository builds against {TORCH_VERSION}.\n  \
         {remedy}"
    )]
    Version { source_name: String, found: String, remedy: &'static str },

    #[error(
        "LIBTORCH={}: there is no libtorch ({} is missing).\n  \
         Set LIBTORCH to the directory that contains libtorch's `include` and `lib`, \
         or unset it to have libtorch {TORCH_VERSION} fetched.",
        dir.display(), missing
    )]
    NotLibtorch { dir: PathBuf, missing: &'static str },

    #[error(
        "LIBTORCH_USE_PYTORCH is set, but `{program}` cannot import torch:\n{tail}\n  \
         Install torch {TORCH_VERSION} there, or unset LIBTORCH_USE_PYTORCH to have libtorch fetched."
    )]
    NoPytorch { program: &'static str, tail: String },

    #[error(
        "{} is not a symbolic link, so it is left alone.\n  \
         Move it away, or set LIBTORCH to use it.",
        path.display()
    )]
    NotALink { path: PathBuf },
}

/// Converts errors of writing in `dir`; a full disk has its own message. The message names the cache instead
/// of a staging folder in it, which no longer exists when the message is read.
pub(super) fn writing(dir: &Path) -> impl Fn(io::Error) -> anyhow::Error {
    let is_partial =
        |dir: &&Path| dir.file_name().is_some_and(|name| name.to_string_lossy().starts_with(PARTIAL));
    let dir = dir.ancestors().find(is_partial).and_then(Path::parent).unwrap_or(dir).to_owned();
    move |error| match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            Problem::DiskFull { dir: dir.clone() }.into()
        }
        _ => anyhow::Error::new(error).context(format!("cannot write in {}", dir.display())),
    }
}

/// The last lines of a program's output, indented.
pub(super) fn tail(output: &str) -> String {
    let lines: Vec<&str> = output.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
    let last = &lines[lines.len().saturating_sub(6)..];
    last.iter().map(|line| format!("    {line}")).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod spec {
    use super::{Problem, tail, writing};
    use std::io;
    use std::path::Path;

    #[test]
    fn a_full_disk_is_reported_with_the_directory_and_a_remedy() {
        let full = writing(Path::new("/cache"))(io::ErrorKind::StorageFull.into()).to_string();
        assert!(full.starts_with("the disk is full at /cache."), "{full}");
        assert!(full.contains("XDG_CACHE_HOME"), "{full}");
        let partial =
            writing(Path::new("/cache/partial-x/libtorch"))(io::ErrorKind::QuotaExceeded.into()).to_string();
        assert!(partial.starts_with("the disk is full at /cache."), "{partial}");
        let other = writing(Path::new("/cache"))(io::ErrorKind::PermissionDenied.into()).to_string();
        assert_eq!(other, "cannot write in /cache");
    }

    #[test]
    fn the_tail_keeps_the_last_lines_only() {
        let tail = tail("line 1\nline 2\n\nline 3\nline 4  \nline 5\nline 6\nline 7\n");
        assert!(
            tail.starts_with("    line 2\n    line 3\n    line 4\n") && tail.ends_with("    line 7"),
            "{tail}"
        );
    }

    #[test]
    fn a_wrong_hash_is_reported_with_both_hashes() {
        let problem = Problem::Hash { file: "a.whl".into(), wanted: "00", found: "ff".into() };
        let text = problem.to_string();
        assert!(
            text.contains("a.whl") && text.contains("wanted sha256 00") && text.contains("found  sha256 ff")
        );
    }

    #[test]
    fn too_little_room_is_reported_with_both_sizes() {
        let problem = Problem::NoRoom {
            what: "libtorch",
            dir: "/cache".into(),
            free: 12_000_000,
            needed: 1_600_000_000,
        };
        assert!(
            problem.to_string().starts_with("/cache has 12 MB free; libtorch needs 1600 MB"),
            "{problem}"
        );
    }
}
