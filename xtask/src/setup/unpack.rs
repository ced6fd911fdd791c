//! Checks the hash of a wheel and unpacks some of its files.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Read, Write as _};
use std::path::Path;

use anyhow::{Context as _, Result};
use sha2::{Digest as _, Sha256};
use zip::ZipArchive;
use zip::result::ZipError;

use super::meter::Meter;
use super::problem::{Problem, writing};
use super::wheels::{Part, Wheel};

const BUFFER: usize = 1 << 20;

/// Returns an error unless the SHA-256 of the file is the pinned one.
pub(super) fn verify(path: &Path, wheel: &Wheel) -> Result<()> {
    let found = sha256(path).with_context(|| format!("cannot read {}", path.display()))?;
    if found == wheel.sha256 {
        return Ok(());
    }
    Err(Problem::Hash { file: wheel.file.into(), wanted: wheel.sha256, found }.into())
}

/// The SHA-256 of a file in lower-case hexadecimal.
pub(super) fn sha256(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; BUFFER];
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            read => hasher.update(&buffer[..read]),
        }
    }
    Ok(hasher.finalize().iter().fold(String::with_capacity(64), |mut hex, byte| {
        // Writing to a string cannot fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    }))
}

/// Unpacks the files that the wheel has for `parts` into the folder `libtorch`.
pub(super) fn unpack(path: &Path, wheel: &Wheel, parts: &[Part], libtorch: &Path) -> Result<()> {
    let read = |error: ZipError| anyhow::Error::new(error).context(format!("cannot read {}", path.display()));
    let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    let mut archive = ZipArchive::new(io::BufReader::new(file)).map_err(read)?;

    let entries = entries(&archive, wheel, parts)?;
    let mut total = 0;
    for (entry, _) in &entries {
        total += archive.by_name(entry).map_err(read)?.size();
    }
    let mut meter = Meter::new(format!("unpacking {}", wheel.project), total);
    let mut done = 0;
    for (entry, to) in &entries {
        let to = libtorch.join(to);
        if let Some(dir) = to.parent() {
            fs::create_dir_all(dir).map_err(writing(libtorch))?;
        }
        let mut from = archive.by_name(entry).map_err(read)?;
        let mut file = File::create(&to).map_err(writing(libtorch))?;
        let mut buffer = vec![0; BUFFER];
        loop {
            let bytes =
                from.read(&mut buffer).with_context(|| format!("{entry} in {} is damaged", wheel.file))?;
            if bytes == 0 {
                break;
            }
            file.write_all(&buffer[..bytes]).map_err(writing(libtorch))?;
            done += bytes as u64;
            meter.at(done);
        }
    }
    Ok(())
}

/// Entries of the archive to unpack, each with its path below the target folder. Returns an error if a named
/// file is missing, or if a directory that is taken as a whole has no files.
fn entries(
    archive: &ZipArchive<io::BufReader<File>>,
    wheel: &Wheel,
    parts: &[Part],
) -> Result<Vec<(String, String)>, Problem> {
    let missing = |entry: String| Problem::Layout { wheel: wheel.file, entry };
    let mut entries = Vec::new();
    for take in wheel.takes(parts) {
        for name in take.names {
            let entry = format!("{}/{name}", take.from);
            archive.index_for_name(&entry).ok_or_else(|| missing(entry.clone()))?;
            entries.push((entry, format!("{}/{name}", take.into)));
        }
        if take.names.is_empty() {
            let prefix = format!("{}/", take.from);
            let before = entries.len();
            let below = archive.file_names().filter_map(|entry| Some((entry, entry.strip_prefix(&prefix)?)));
            // The hash was checked before, so this guards against mistakes in the pins, not against attacks.
            let plain = |rest: &str| {
                !rest.ends_with('/') && rest.split('/').all(|part| !matches!(part, "" | "." | ".."))
            };
            entries.extend(
                below
                    .filter(|(_, rest)| plain(rest))
                    .map(|(entry, rest)| (entry.to_owned(), format!("{}/{rest}", take.into))),
            );
            if entries.len() == before {
                return Err(missing(prefix));
            }
        }
    }
    Ok(entries)
}

#[cfg(test)]
mod spec {
    use super::{sha256, unpack, verify};
    use crate::setup::fake;
    use crate::setup::wheels::Part;
    use std::fs;

    #[test]
    fn the_hash_of_abc_is_the_published_one() -> anyhow::Result<()> {
        let dir = tempfile::tempdir()?;
        fs::write(dir.path().join("abc"), "abc")?;
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sha256(&dir.path().join("abc"))?, abc);
        Ok(())
    }

    #[test]
    fn a_changed_wheel_is_refused() -> anyhow::Result<()> {
        let dir = tempfile::tempdir()?;
        let (wheel, path) = fake::wheel(dir.path(), &["torch/include/a.h", "torch/lib/libc10.so"])?;
        verify(&path, &wheel)?;
        let mut bytes = fs::read(&path)?;
        bytes.push(0);
        fs::write(&path, bytes)?;
        let Err(error) = verify(&path, &wheel) else { anyhow::bail!("it passed") };
        assert!(error.to_string().contains("is not the file that was pinned"), "{error}");
        Ok(())
    }

    #[test]
    fn only_the_files_of_the_requested_parts_are_unpacked() -> anyhow::Result<()> {
        let dir = tempfile::tempdir()?;
        let names = [
            "torch/include/deep/a.h",
            "torch/lib/libc10.so",
            "torch/lib/libtorch_cpu.so",
            "torch/lib/libtorch_cuda.so",
            "torch/lib/libtorch_python.so",
            "torch/other.py",
        ];
        let (wheel, path) = fake::wheel(dir.path(), &names)?;
        let libtorch = dir.path().join("libtorch");
        unpack(&path, &wheel, &[Part::Cpu], &libtorch)?;
        assert_eq!(fake::listing(&libtorch), ["include/deep/a.h", "lib/libc10.so", "lib/libtorch_cpu.so"]);
        assert_eq!(fs::read_to_string(libtorch.join("lib/libc10.so"))?, "torch/lib/libc10.so");
        unpack(&path, &wheel, &[Part::Cuda], &libtorch)?;
        assert_eq!(fake::listing(&libtorch)[0], "cuda/libtorch_cuda.so");
        assert_eq!(fake::listing(&libtorch).len(), 4);
        Ok(())
    }

    #[test]
    fn a_wheel_of_another_layout_is_refused() -> anyhow::Result<()> {
        let dir = tempfile::tempdir()?;
        let (wheel, path) = fake::wheel(dir.path(), &["torch/include/a.h"])?;
        let Err(error) = unpack(&path, &wheel, &[Part::Cpu], dir.path()) else { anyhow::bail!("it passed") };
        assert!(error.to_string().contains("has no torch/lib/libc10.so"), "{error}");
        Ok(())
    }
}
