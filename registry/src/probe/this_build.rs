//! Identifies the program and the libtorch for which a cached result of a probe is valid.

use kasmina_plugin_api::TORCH_VERSION;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::OnceLock;

/// Returns a text that identifies this executable and its libtorch. The result of a probe may differ in
/// another build.
pub(super) fn this_build() -> String {
    static BUILD: OnceLock<String> = OnceLock::new();
    let find = || {
        let torch = kasmina_torch_ext::cuda::libtorch_dir().map(|folder| folder.join("libtorch_cpu.so"));
        name(Path::new("/proc/self/exe"), torch.as_deref())
    };
    BUILD.get_or_init(find).clone()
}

/// Returns a text that changes when the program or libtorch is built again.
fn name(program: &Path, torch: Option<&Path>) -> String {
    let (program, torch) = (size_and_time(program), torch.and_then(size_and_time));
    let known = |found: Option<String>| found.unwrap_or_else(|| "unknown".to_owned());
    format!("{} {} {TORCH_VERSION} {}", env!("CARGO_PKG_VERSION"), known(program), known(torch))
}

/// Returns the size of a file in bytes and its modification time in seconds and nanoseconds.
fn size_and_time(file: &Path) -> Option<String> {
    let meta = std::fs::metadata(file).ok()?;
    Some(format!("{} {}.{}", meta.size(), meta.mtime(), meta.mtime_nsec()))
}

#[cfg(test)]
mod tests {
    use super::{name, this_build};
    use std::time::{Duration, SystemTime};

    #[test]
    fn the_name_changes_with_the_program_and_with_libtorch() -> std::io::Result<()> {
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
