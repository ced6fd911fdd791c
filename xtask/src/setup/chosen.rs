//! A libtorch that the user's environment names. Its version is checked; nothing is fetched or changed.

use std::env;
use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::{fs, process::Output};

use anyhow::{Context as _, Result};

use super::problem::{Problem, tail};
use super::python;
use super::wheels::TORCH_VERSION;

/// Headers of libtorch that define its version, newest layout first.
const VERSION_HEADERS: [&str; 3] = [
    "include/torch/headeronly/version.h",
    "include/torch/csrc/api/include/torch/version.h",
    "include/torch/version.h",
];

/// Python code that prints the version and, on a second line, the directory of the libraries.
const PYTORCH_QUERY: &str = "import os, torch\n\
     print(torch.__version__)\n\
     print(os.path.join(os.path.dirname(torch.__file__), 'lib'))";

/// The libtorch that the environment selects.
#[derive(Debug, PartialEq)]
pub(super) enum Chosen {
    /// A directory, by `LIBTORCH`.
    Directory(PathBuf),
    /// The PyTorch of a Python interpreter, by `LIBTORCH_USE_PYTORCH`. `link`: the repository's own link.
    Pytorch { program: &'static str, link: PathBuf },
}

/// The libtorch that the user's environment selects, if any.
pub(super) fn by_environment(link: &Path) -> Option<Chosen> {
    let variable = |name| env::var_os(name).filter(|value| !value.is_empty());
    choose(variable("LIBTORCH").as_deref(), env::var_os("LIBTORCH_USE_PYTORCH").is_some(), link)
}

/// Selects by the values of `LIBTORCH` and `LIBTORCH_USE_PYTORCH`. Python comes first if both are set, as in
/// the torch bindings. The repository's own link does not count: `.cargo/config.toml` sets `LIBTORCH` to it.
fn choose(libtorch: Option<&OsStr>, use_pytorch: bool, link: &Path) -> Option<Chosen> {
    if use_pytorch {
        // The torch bindings select the interpreter in the same way.
        let program = if env::var_os("VIRTUAL_ENV").is_some() { "python" } else { python::PYTHON };
        return Some(Chosen::Pytorch { program, link: link.to_owned() });
    }
    let directory = Path::new(libtorch?);
    (!is_link(directory, link)).then(|| Chosen::Directory(directory.to_owned()))
}

/// Whether `directory` is the repository's link, even if it names the checkout by another path. The link
/// itself is not followed.
fn is_link(directory: &Path, link: &Path) -> bool {
    let checkout = |path: &Path| path.parent()?.parent()?.canonicalize().ok();
    directory == link
        || (directory.ends_with(".torch/libtorch")
            && checkout(directory).is_some()
            && checkout(directory) == checkout(link))
}

impl Chosen {
    /// Checks the version. Returns the directory of the libraries if it had to be read from Python.
    pub(super) fn check(&self) -> Result<Option<PathBuf>> {
        let (found, lib) = match self {
            Self::Directory(dir) => (version_in(dir)?, None),
            Self::Pytorch { program, link } => {
                let output = python::command(program, link).args(["-c", PYTORCH_QUERY]).output();
                let (version, lib) = parse_query(program, output)?;
                (version, Some(lib))
            }
        };
        // A build suffix, as in `2.11.0+cpu`, does not change the interface.
        if found.split('+').next() == Some(TORCH_VERSION) {
            return Ok(lib);
        }
        let remedy = match self {
            Self::Directory(_) => "Set LIBTORCH to that version, or unset it to have libtorch fetched.",
            Self::Pytorch { .. } => {
                "Install that version of torch there, or unset LIBTORCH_USE_PYTORCH to have libtorch fetched."
            }
        };
        Err(Problem::Version { source_name: self.to_string(), found, remedy }.into())
    }
}

impl fmt::Display for Chosen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(dir) => write!(f, "LIBTORCH={}", dir.display()),
            Self::Pytorch { program, .. } => write!(f, "the torch of `{program}` (LIBTORCH_USE_PYTORCH)"),
        }
    }
}

/// Version of the libtorch in a directory, read from its headers.
fn version_in(dir: &Path) -> Result<String> {
    for header in VERSION_HEADERS {
        let path = dir.join(header);
        match fs::read_to_string(&path) {
            Ok(text) => {
                return version_of_header(&text)
                    .with_context(|| format!("{} defines no version", path.display()));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    }
    Err(Problem::NotLibtorch { dir: dir.to_owned(), missing: VERSION_HEADERS[0] }.into())
}

/// Reads `MAJOR.MINOR.PATCH` from the three `#define` lines.
fn version_of_header(text: &str) -> Option<String> {
    let number = |name: &str| {
        text.lines().find_map(|line| {
            let mut words = line.split_whitespace();
            let defines = words.next() == Some("#define") && words.next() == Some(name);
            defines.then(|| words.next()?.parse::<u32>().ok()).flatten()
        })
    };
    let [major, minor, patch] =
        ["TORCH_VERSION_MAJOR", "TORCH_VERSION_MINOR", "TORCH_VERSION_PATCH"].map(number);
    Some(format!("{}.{}.{}", major?, minor?, patch?))
}

/// Reads version and library directory from the output of [`PYTORCH_QUERY`].
fn parse_query(program: &'static str, output: io::Result<Output>) -> Result<(String, PathBuf)> {
    let output = match output {
        Ok(output) => output,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(Problem::NoPython { program }.into());
        }
        Err(error) => return Err(error).with_context(|| format!("cannot run `{program}`")),
    };
    let text = String::from_utf8_lossy(&output.stdout);
    match (output.status.success(), text.trim_end().rsplit_once('\n')) {
        (true, Some((version, lib))) => {
            let version = version.lines().next_back().unwrap_or_default();
            Ok((version.to_owned(), lib.into()))
        }
        _ => Err(Problem::NoPytorch { program, tail: tail(&String::from_utf8_lossy(&output.stderr)) }.into()),
    }
}

#[cfg(test)]
mod spec {
    use super::{Chosen, choose, version_of_header};
    use std::ffi::OsStr;
    use std::fs;
    use std::path::Path;

    const HEADER: &str = "#pragma once\n#define TORCH_VERSION_MAJOR 2\n#define TORCH_VERSION_MINOR 11\n\
        #define TORCH_VERSION_PATCH 0\n#define TORCH_VERSION \\\n  \"2.11.0\"\n";

    #[test]
    fn the_version_is_read_from_the_header() {
        assert_eq!(version_of_header(HEADER).as_deref(), Some("2.11.0"));
        assert_eq!(version_of_header("#define TORCH_VERSION_MAJOR 2\n"), None);
        assert_eq!(version_of_header(&HEADER.replace("MINOR 11", "MINOR x")), None);
    }

    #[test]
    fn the_repositorys_own_link_does_not_count() -> anyhow::Result<()> {
        let root = tempfile::tempdir()?;
        let (checkout, alias) = (root.path().join("checkout"), root.path().join("alias"));
        fs::create_dir(&checkout)?;
        std::os::unix::fs::symlink(&checkout, &alias)?;
        let link = checkout.join(".torch/libtorch");
        assert_eq!(choose(None, false, &link), None);
        assert_eq!(choose(Some(link.as_os_str()), false, &link), None);
        assert_eq!(choose(Some(alias.join(".torch/libtorch").as_os_str()), false, &link), None);
        let other = root.path().join("other/.torch/libtorch");
        assert_eq!(choose(Some(other.as_os_str()), false, &link), Some(Chosen::Directory(other)));
        Ok(())
    }

    #[test]
    fn python_wins_over_a_directory() {
        let chosen = choose(Some(OsStr::new("/opt/libtorch")), true, Path::new("/repo/.torch/libtorch"));
        assert!(matches!(chosen, Some(Chosen::Pytorch { .. })));
    }

    #[test]
    fn a_wrong_version_is_reported_with_both_versions_and_a_remedy() -> anyhow::Result<()> {
        let dir = tempfile::tempdir()?;
        let chosen = Chosen::Directory(dir.path().to_owned());
        let Err(none) = chosen.check() else { anyhow::bail!("an empty directory passed") };
        assert!(none.to_string().contains("there is no libtorch"), "{none}");

        fs::create_dir_all(dir.path().join("include/torch/headeronly"))?;
        let header = dir.path().join("include/torch/headeronly/version.h");
        fs::write(&header, HEADER.replace("MINOR 11", "MINOR 9"))?;
        let Err(wrong) = chosen.check() else { anyhow::bail!("2.9.0 passed") };
        let text = wrong.to_string();
        assert!(
            text.contains("is version 2.9.0") && text.contains("against 2.11.0") && text.contains("unset it")
        );

        fs::write(&header, HEADER)?;
        chosen.check()?;
        Ok(())
    }
}
