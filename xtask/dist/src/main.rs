//! Makes a folder with everything that `kasmina` needs, and an archive of it. `cargo xtask dist` builds the
//! contents and calls this program.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command-line tool talks to its terminal")]

mod archive;
mod contents;
mod licences;
mod packages;
mod sbom;
mod sums;

use anyhow::{Context as _, Result};
use clap::Parser;
use licences::Torch;
use packages::Package;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Parser)]
#[command(about = "Makes a distribution from a finished build")]
struct Args {
    /// Folder that cargo has built into, with the program and its `plugins/`.
    #[arg(long)]
    built: PathBuf,
    /// Folder of libtorch, with its `lib/`.
    #[arg(long)]
    torch: PathBuf,
    /// Version of libtorch.
    #[arg(long)]
    torch_version: String,
    /// Folder of the repository.
    #[arg(long)]
    root: PathBuf,
    /// Folder to make; an existing one is replaced.
    #[arg(long)]
    out: PathBuf,
    /// Include the GPU libraries, from `cuda/` of libtorch.
    #[arg(long)]
    cuda: bool,
    /// Fail if the program or a plugin contains this path; may be given several times.
    #[arg(long)]
    unnamed: Vec<PathBuf>,
    /// Make only the folder.
    #[arg(long)]
    no_archive: bool,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<()> {
    if args.out.exists() {
        std::fs::remove_dir_all(&args.out)
            .with_context(|| format!("cannot remove {}", args.out.display()))?;
    }
    contents::copy(&args.built, &args.torch, &args.out, args.cuda, &args.unnamed)?;
    let packages: Vec<Package> = packages::of(&args.root)?;
    let torch = Torch { folder: &args.torch, version: &args.torch_version, cuda: args.cuda };
    licences::collect(&args.root, &packages, &torch, &args.out.join("licences"))?;
    sbom::write(&packages, &args.torch_version, &args.out.join("sbom.cdx.json"))?;
    sums::write(&args.out)?;
    println!("{}", args.out.display());
    if !args.no_archive {
        let archive = archive::write(&args.out)?;
        let size = archive.metadata().map_or(0, |m| m.len());
        println!("{} ({:.1} MB)", archive.display(), size as f64 / 1e6);
    }
    Ok(())
}
