//! A wheel that parts of libtorch come from, and what is taken out of it. `pinned` has all of them.

use std::path::Path;

/// The libtorch that the torch bindings of this workspace are made for.
pub(crate) const TORCH_VERSION: &str = "2.11.0";

/// The two halves of a libtorch, set up separately.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// Headers and what every build links against.
    Cpu,
    /// The GPU libraries, apart in `cuda/` so that nothing links against them; they are opened at run time.
    ///
    /// The libraries of torch name `$ORIGIN` in their RPATH, which also covers what they load in turn, so
    /// they find each other in one flat directory. Of the CPU half they need libc10, libtorch_cpu and
    /// libcudart, which the process that opens them has loaded already.
    Cuda,
}

impl Part {
    /// Disk space for the unpacked files and, meanwhile, two copies of the largest wheel (pip copies once).
    pub(super) fn room(self) -> u64 {
        match self {
            Self::Cpu => 1_600_000_000,
            Self::Cuda => 3_800_000_000,
        }
    }
}

/// A wheel of a fixed version and hash.
pub(super) struct Wheel {
    pub(super) project: &'static str,
    pub(super) version: &'static str,
    pub(super) file: &'static str,
    pub(super) bytes: u64,
    pub(super) sha256: &'static str,
    /// The platform tag to ask for.
    pub(super) platform: &'static str,
    /// The ABI tag to ask for, where the wheel has one.
    pub(super) abi: Option<&'static str>,
    pub(super) takes: &'static [Take],
}

/// Some files of a wheel, for one half of libtorch.
pub(super) struct Take {
    pub(super) part: Part,
    /// A directory in the wheel.
    pub(super) from: &'static str,
    /// Its files by name; with none named, everything below it.
    pub(super) names: &'static [&'static str],
    /// Folder in libtorch that the files are copied into.
    pub(super) into: &'static str,
}

impl Wheel {
    pub(super) fn takes(&self, parts: &[Part]) -> impl Iterator<Item = &Take> {
        self.takes.iter().filter(|take| parts.contains(&take.part))
    }

    /// Whether every file that this wheel has for a part is there.
    pub(super) fn is_unpacked(&self, part: Part, libtorch: &Path) -> bool {
        let present = |path: &Path| path.metadata().is_ok_and(|meta| meta.is_dir() || meta.len() > 0);
        self.takes(&[part]).all(|take| {
            let dir = libtorch.join(take.into);
            present(&dir) && take.names.iter().all(|name| present(&dir.join(name)))
        })
    }
}
