//! `cargo xtask setup`: puts libtorch into a cache that all checkouts of a user share, and links to it.
//!
//! The libraries are in Python wheels. The machine's own pip fetches these, so that the mirrors, proxies and
//! certificates of its configuration are used. Each wheel is pinned by its SHA-256 (see [`pinned`]).

mod cache;
mod chosen;
mod compiler;
#[cfg(test)]
mod fake;
mod link;
mod meter;
mod packages;
mod partial;
mod pinned;
mod pip;
mod problem;
mod provide;
mod python;
mod torch;
mod unpack;
mod wheels;

use anyhow::Result;

use crate::repo::Repo;
use cache::Cache;
use pip::Pip;
use problem::Problem;
use wheels::Part;

pub(crate) use torch::Torch;
pub(crate) use wheels::TORCH_VERSION;

/// Folder of the per-user cache.
pub(crate) fn cache_folder() -> Result<std::path::PathBuf> {
    Ok(Cache::of_user()?.folder().to_owned())
}

/// Installs the Python packages that the tests of exported networks need. Returns their folder.
pub(crate) fn python_packages(repo: &Repo) -> Result<std::path::PathBuf> {
    packages::provide(&repo.libtorch())
}

/// Makes libtorch available to cargo. This takes a few `stat` calls if everything is in place already.
pub(crate) fn run(repo: &Repo, cuda: bool) -> Result<Torch> {
    let compiler = compiler::find()?;
    if let Some(chosen) = chosen::by_environment(&repo.libtorch()) {
        let lib = chosen.check()?;
        eprintln!("libtorch: {chosen}, version {}", wheels::TORCH_VERSION);
        if cuda {
            eprintln!(
                "libtorch: --cuda has no effect: a libtorch of your own must contain its own GPU libraries"
            );
        }
        return Ok(Torch::own(compiler, lib));
    }
    if !cfg!(all(target_os = "linux", target_arch = "x86_64", target_env = "gnu")) {
        return Err(Problem::Platform { arch: std::env::consts::ARCH, os: std::env::consts::OS }.into());
    }

    let cache = Cache::of_user()?;
    let parts: &[Part] = if cuda { &[Part::Cpu, Part::Cuda] } else { &[Part::Cpu] };
    provide::provide(&cache, parts, &pinned::WHEELS, || Pip::find(&repo.libtorch()))?;
    link::point(&repo.libtorch(), &cache.libtorch())?;
    eprintln!("libtorch: {} in {}", wheels::TORCH_VERSION, cache.libtorch().display());
    Ok(Torch::cached(compiler))
}
