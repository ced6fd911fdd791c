//! Opening the GPU half of libtorch at run time.
//!
//! Kasmina links the CPU libraries only, so one binary runs everywhere. On a machine with a GPU the matching
//! `libtorch_cuda.so` is opened once, with its symbols global, before anyone asks torch about CUDA.

use crate::error::{Error, Result};
use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

const LIBRARY: &str = "libtorch_cuda.so";

/// Where the library may lie, in order: a directory named by `KASMINA_LIBTORCH_CUDA`, `cuda/` beside the
/// `lib/` of the libtorch we run with, that `lib/` itself, and wherever the system's loader looks.
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

/// The directory of the `libtorch_cpu.so` that this process has mapped.
pub fn libtorch_dir() -> Option<PathBuf> {
    folder_of("libtorch_cpu.so", &std::fs::read_to_string("/proc/self/maps").ok()?)
}

/// The folder of a library in the text of `/proc/self/maps`.
fn folder_of(library: &str, maps: &str) -> Option<PathBuf> {
    maps.lines().find_map(|line| {
        // The path comes last, and may have blanks in it.
        let path = Path::new(line.get(line.find('/')?..)?);
        (path.file_name()? == library).then(|| path.parent().map(PathBuf::from))?
    })
}

/// Opens `libtorch_cuda.so`; call it before the first question about CUDA. Later calls give the first answer.
///
/// # Errors
/// If none of the places has a library that loads; the reason is the one of the last place that had a file.
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
        // SAFETY: libtorch's own library; its constructors register the CUDA backend and nothing else. It is
        // never closed, so nothing dangles.
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
        // Keeps libtorch from being left out of a program that calls nothing of it.
        assert_eq!(tch::Tensor::from(1.0).numel(), 1);
        assert!(libtorch_dir().is_some_and(|folder| folder.join("libtorch_cpu.so").exists()));
    }
}
