//! Identifies the program and the libtorch that a probe's result holds for.

use kasmina_plugin_api::TORCH_VERSION;
use std::os::unix::fs::MetadataExt as _;

/// The libtorch that this process runs, by where it lies and when it was written: the next one may do otherwise.
fn torch_in_use() -> String {
    let file = kasmina_torch_ext::cuda::libtorch_dir().map(|folder| folder.join("libtorch_cpu.so"));
    let meta = file.and_then(|file| std::fs::metadata(file).ok());
    meta.map_or_else(String::new, |m| format!("{} {}.{}", m.size(), m.mtime(), m.mtime_nsec()))
}

/// A name for this very executable: what one build finds need not hold in another.
pub(super) fn this_build() -> String {
    static BUILD: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    BUILD
        .get_or_init(|| {
            let file = std::fs::metadata("/proc/self/exe");
            file.map_or_else(
                |_| env!("CARGO_PKG_VERSION").to_owned(),
                |m| {
                    let program = format!("{} {}.{}", m.size(), m.mtime(), m.mtime_nsec());
                    format!("{} {program} {TORCH_VERSION} {}", env!("CARGO_PKG_VERSION"), torch_in_use())
                },
            )
        })
        .clone()
}
