//! `cargo xtask dist`: makes a distribution, a folder and an archive that run from any place and as any user,
//! and tries it.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, bail};

use crate::{process, product, repo::Repo, setup};

/// Folder in which the program of a distribution looks for libtorch.
const RPATH: &str = "$ORIGIN/lib";
/// Id of the user `nobody`, who owns no files; the distribution is tried as this user.
const NOBODY: u32 = 65_534;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Include the GPU libraries; they are fetched if they are missing.
    #[arg(long)]
    cuda: bool,
    /// Build without optimisations and make no archive; for tests of the distribution.
    #[arg(long)]
    dev: bool,
    /// Run the distribution from another folder, read-only, with an empty environment, and, if this process
    /// runs as root, as another user.
    #[arg(long = "try")]
    tries: bool,
}

impl Args {
    /// Arguments for a distribution of a debug build that is tried.
    pub(crate) const fn debug_and_try() -> Self {
        Self { cuda: false, dev: true, tries: true }
    }
}

pub(crate) fn run(repo: &Repo, args: &Args) -> Result<ExitCode> {
    let torch = setup::run(repo, args.cuda)?;
    let mut build = torch.cargo();
    build.env("KASMINA_RPATH", RPATH);
    let mut target = repo.target()?;
    let renamed = if args.dev { Vec::new() } else { folders_of_this_machine(repo) };
    if !args.dev {
        // These flags recompile everything; a folder of their own keeps the other builds.
        target.push("dist/build");
        rename_folders(&mut build, &renamed);
    }
    let program = product::build_with(build, repo, &target, !args.dev)?;
    let version = env!("CARGO_PKG_VERSION");
    let cuda = if args.cuda { "-cuda" } else { "" };
    let out = repo.target()?.join("dist").join(format!("kasmina-{version}-x86_64-linux{cuda}"));
    let mut dist = torch.cargo();
    dist.args(["run", "--quiet", "--package", "kasmina-dist", "--"]).current_dir(repo.root());
    dist.arg("--built").arg(program.parent().context("the program has no folder")?);
    dist.arg("--torch").arg(repo.libtorch()).args(["--torch-version", setup::TORCH_VERSION]);
    dist.arg("--root").arg(repo.root()).arg("--out").arg(&out);
    if args.cuda {
        dist.arg("--cuda");
    }
    for (folder, _) in renamed {
        dist.arg("--unnamed").arg(folder);
    }
    if args.dev {
        dist.arg("--no-archive");
    }
    process::check(&mut dist)?;
    if args.tries {
        try_distribution(&out)?;
        println!("the distribution runs from another folder, read-only, with an empty environment");
    }
    Ok(ExitCode::SUCCESS)
}

/// Folders of source files, each with the name that replaces its path in the built files: this checkout,
/// cargo's home, and the libtorch folder that the link points to.
fn folders_of_this_machine(repo: &Repo) -> Vec<(PathBuf, &'static str)> {
    let cargo = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let cargo = cargo.or_else(|| std::env::home_dir().map(|home| home.join(".cargo")));
    let torch = repo.libtorch().canonicalize().ok();
    let others = [(cargo, "crates"), (torch, "libtorch")];
    let others = others.into_iter().filter_map(|(folder, name)| Some((folder?, name)));
    std::iter::once((repo.root().to_owned(), "kasmina")).chain(others).collect()
}

/// Makes the compilers write the replaced names, because panic messages contain paths of source files.
fn rename_folders(build: &mut Command, renamed: &[(PathBuf, &'static str)]) {
    let pairs: Vec<String> =
        renamed.iter().map(|(folder, name)| format!("{}={name}", folder.display())).collect();
    let rust: Vec<String> = pairs.iter().map(|pair| format!("--remap-path-prefix={pair}")).collect();
    // This variable separates flags by U+001F, so paths may contain spaces.
    build.env("CARGO_ENCODED_RUSTFLAGS", rust.join("\u{1f}"));
    let cpp: Vec<String> = pairs.iter().map(|pair| format!("-ffile-prefix-map={pair}")).collect();
    build.env("CXXFLAGS", cpp.join(" "));
}

/// Moves the distribution to another folder, makes it read-only, runs it, and moves it back.
fn try_distribution(out: &Path) -> Result<()> {
    let elsewhere = tempfile::tempdir().context("cannot create a temporary folder")?;
    let moved = elsewhere.path().join("another name");
    fs::rename(out, &moved).or_else(|_| copy(out, &moved)).context("cannot move the distribution")?;
    let home = elsewhere.path().join("home");
    fs::create_dir(&home)?;
    let root = rustix::process::geteuid().is_root();
    if root {
        for folder in [elsewhere.path(), &home] {
            std::os::unix::fs::chown(folder, Some(NOBODY), Some(NOBODY))?;
        }
    } else {
        eprintln!("SKIPPED running the distribution as another user: this needs root");
    }
    let set_writable = |writable: bool| {
        let mode = if writable { "u+w" } else { "a-w" };
        process::check(Command::new("chmod").arg("-R").arg(mode).arg(&moved))
    };
    set_writable(false)?;
    let result = run_moved(&moved, &home, root);
    set_writable(true)?;
    fs::rename(&moved, out).or_else(|_| copy(&moved, out)).context("cannot move the distribution back")?;
    result
}

fn run_moved(moved: &Path, home: &Path, root: bool) -> Result<()> {
    let run: PathBuf = home.join("run");
    let commands: [&[&str]; 3] = [
        &["plugins", "list"],
        &["plugins", "doctor"],
        &["train", "--epochs", "2", "--device", "cpu", "--out", run.to_str().unwrap_or_default()],
    ];
    for args in commands {
        let mut command = Command::new(moved.join("kasmina"));
        command.env_clear().current_dir("/").args(args);
        if root {
            command.uid(NOBODY).gid(NOBODY);
        }
        let output = command.output().context("cannot start the program of the distribution")?;
        let printed =
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        if !output.status.success() {
            bail!("`kasmina {}` failed ({}):\n{printed}", args.join(" "), output.status);
        }
        if args.contains(&"list") && !printed.contains("bundled") {
            bail!("the distribution does not list its bundled plugins:\n{printed}");
        }
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    let status = Command::new("cp").arg("-a").arg(from).arg(to).status()?;
    if !status.success() {
        return Err(std::io::Error::other("cp failed"));
    }
    fs::remove_dir_all(from)
}
