//! Identifies the program and the libtorch that a probe's result holds for.

use kasmina_plugin_api::TORCH_VERSION;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::OnceLock;

/// A name for this executable and the libtorch that it runs with: what one build finds need not hold in
/// another.
pub(super) fn this_build() -> String {
    static BUILD: OnceLock<String> = OnceLock::new();
    let find = || {
        let torch = kasmina_torch_ext::cuda::libtorch_dir().map(|folder| folder.join("libtorch_cpu.so"));
        name(Path::new("/proc/self/exe"), torch.as_deref())
    };
    BUILD.get_or_init(find).clone()
}

/// A name that changes when the program or libtorch is built again.
fn name(program: &Path, torch: Option<&Path>) -> String {
    let (program, torch) = (size_and_time(program), torch.and_then(size_and_time));
    let known = |found: Option<String>| found.unwrap_or_else(|| "unknown".to_owned());
    format!("{} {} {TORCH_VERSION} {}", env!("CARGO_PKG_VERSION"), known(program), known(torch))
}

/// The size of a file in bytes, and when it was written in seconds and nanoseconds.
fn size_and_time(file: &Path) -> Option<String> {
    let meta = std::fs::metadata(file).ok()?;
    Some(format!("{} {}.{}", meta.size(), meta.mtime(), meta.mtime_nsec()))
}

#[cfg(test)]
mod tests {
    use super::{name, this_build};
    use std::time::{Duration, SystemTime};

    #[test]
    fn another_program_and_another_libtorch_have_another_name() -> std::io::Result<()> {
        let folder = tempfile::tempdir()?;
        let (program, torch) = (folder.path().join("program"), folder.path().join("libtorch_cpu.so"));
        for file in [&program, &torch] {
            std::fs::write(file, "one")?;
        }
        let before = name(&program, Some(&torch));
        assert_eq!(name(&program, Some(&torch)), before);
        for file in [&program, &torch] {
            let before = name(&program, Some(&torch));
            let written = std::fs::File::options().write(true).open(file)?;
            written.set_modified(SystemTime::now() - Duration::from_hours(1))?;
            assert_ne!(name(&program, Some(&torch)), before, "{}", file.display());
        }
        Ok(())
    }

    #[test]
    fn the_libtorch_of_this_process_is_found() {
        assert!(!this_build().contains("unknown"), "{}", this_build());
    }
}
