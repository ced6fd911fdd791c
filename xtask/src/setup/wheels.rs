//! Describes a wheel that contains files of libtorch, and which files are taken from it. `pinned` lists all
//! wheels.

use std::path::Path;

/// Version of libtorch that the torch bindings of this workspace require.
pub(crate) const TORCH_VERSION: &str = "2.11.0";

/// The two parts of a libtorch. Each can be set up separately.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// Headers, and the libraries that every build links against.
    Cpu,
    /// The GPU libraries. They are in a folder of their own, `cuda/`, because nothing links against them;
    /// they are opened at run time.
    ///
    /// The RPATH of torch's libraries contains `$ORIGIN` and also applies to what they load in turn, so they
    /// find each other in one flat directory. From the CPU part they need libc10, libtorch_cpu and libcudart,
    /// which the process has loaded already.
    Cuda,
}

impl Part {
    /// Bytes needed for the unpacked files and for two copies of the largest wheel (pip makes a copy).
    pub(super) fn room(self) -> u64 {
        match self {
            Self::Cpu => 1_600_000_000,
            Self::Cuda => 3_800_000_000,
        }
    }
}

/// A wheel of a fixed version and hash.
pub(super) struct Wheel {
    /// Name of the project in the package index.
    pub(super) project: &'static str,
    pub(super) version: &'static str,
    /// Name of the wheel's file.
    pub(super) file: &'static str,
    /// Size of the file.
    pub(super) bytes: u64,
    /// SHA-256 of the file in lower-case hexadecimal.
    pub(super) sha256: &'static str,
    /// Platform tag to request from pip.
    pub(super) platform: &'static str,
    /// ABI tag to request from pip, if the wheel has one.
    pub(super) abi: Option<&'static str>,
    /// Files to unpack.
    pub(super) takes: &'static [Take],
}

/// Files of a wheel to unpack for one part of libtorch.
pub(super) struct Take {
    pub(super) part: Part,
    /// Directory in the wheel.
    pub(super) from: &'static str,
    /// Names of files in the directory; if empty, everything below the directory is taken.
    pub(super) names: &'static [&'static str],
    /// Folder in libtorch that the files are copied into.
    pub(super) into: &'static str,
}

impl Wheel {
    /// What is taken from the wheel for `parts`.
    pub(super) fn takes(&self, parts: &[Part]) -> impl Iterator<Item = &Take> {
        self.takes.iter().filter(|take| parts.contains(&take.part))
    }

    /// Whether all files that this wheel has for a part exist in `libtorch`. For a directory that is taken as
    /// a whole, only the directory is checked.
    pub(super) fn is_unpacked(&self, part: Part, libtorch: &Path) -> bool {
        let present = |path: &Path| path.metadata().is_ok_and(|meta| meta.is_dir() || meta.len() > 0);
        self.takes(&[part]).all(|take| {
            let dir = libtorch.join(take.into);
            present(&dir) && take.names.iter().all(|name| present(&dir.join(name)))
        })
    }
}
