//! Opening the GPU half of libtorch at run time.
//!
//! Kasmina links the CPU libraries only, so one binary runs everywhere. On a machine with a GPU the matching
//! `libtorch_cuda.so` is opened once, with global symbols, before the first use of CUDA.

use crate::error::{Error, Result};
use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

const LIBRARY: &str = "libtorch_cuda.so";

/// Returns the paths to try, in order: the directory in `KASMINA_LIBTORCH_CUDA`, `cuda/` beside the `lib/`
/// of the mapped libtorch, that `lib/` itself, and the search path of the system's loader.
fn candidates() -> Vec<PathBuf> {
    let mut places = Vec::new();
    if let Some(dir) = std::env::var_os("KASMINA_LIBTORCH_CUDA") {
        places.push(PathBuf::from(dir).join(LIBRARY));
    }
    if let Some(lib) = libtorch_dir() {
        places.push(lib.join("../cuda").join(LIBRARY));
        places.push(lib.join(LIBRARY));
    }
    places.push(PathBuf::from(LIBRARY));
    places
}

/// Returns the directory of the `libtorch_cpu.so` that this process has mapped.
pub fn libtorch_dir() -> Option<PathBuf> {
    folder_of("libtorch_cpu.so", &std::fs::read_to_string("/proc/self/maps").ok()?)
}

/// Returns the folder of a library from the text of `/proc/self/maps`.
fn folder_of(library: &str, maps: &str) -> Option<PathBuf> {
    maps.lines().find_map(|line| {
        // The path is the last column and may contain blanks.
        let path = Path::new(line.get(line.find('/')?..)?);
        (path.file_name()? == library).then(|| path.parent().map(PathBuf::from))?
    })
}

/// Opens `libtorch_cuda.so`. It must be called before the first use of CUDA. Later calls return the result
/// of the first.
///
/// # Errors
/// If no candidate path has a library that can be opened; the reason is that of the last existing file.
pub fn open() -> Result<()> {
    static OPENED: OnceLock<Result<()>> = OnceLock::new();
    OPENED.get_or_init(try_open).clone()
}

fn try_open() -> Result<()> {
    let mut reason = "not found beside libtorch, nor by the system's loader".to_owned();
    for place in candidates() {
        if place.components().count() > 1 && !place.exists() {
            continue;
        }
        // SAFETY: the constructors of libtorch's library only register the CUDA backend. The library is never
        // closed, so no pointer into it dangles.
        match unsafe { Library::open(Some(&place), RTLD_NOW | RTLD_GLOBAL) } {
            Ok(library) => {
                std::mem::forget(library);
                return Ok(());
            }
            Err(error) => {
                let source = std::error::Error::source(&error);
                reason = source.map_or_else(|| error.to_string(), ToString::to_string);
            }
        }
    }
    Err(Error::Library { library: LIBRARY.to_owned(), reason })
}

#[cfg(test)]
mod tests {
    use super::{folder_of, libtorch_dir};
    use std::path::Path;

    #[test]
    fn a_path_with_blanks_is_found_whole() {
        let maps = "7f00-7f01 r--p 00000000 fe:00 1   [heap]\n\
                    7f01-7f02 r-xp 00000000 fe:00 2   /opt/my libraries/lib v2/libtorch_cpu.so\n";
        assert_eq!(
            folder_of("libtorch_cpu.so", maps).as_deref(),
            Some(Path::new("/opt/my libraries/lib v2"))
        );
        assert_eq!(folder_of("libtorch.so", maps), None);
    }

    #[test]
    fn the_libtorch_of_this_process_is_found() {
        // Without a call into libtorch, the linker would leave it out of this program.
        assert_eq!(tch::Tensor::from(1.0).numel(), 1);
        assert!(libtorch_dir().is_some_and(|folder| folder.join("libtorch_cpu.so").exists()));
    }
}
