//! Copies the program, its plugins and libtorch into the distribution.

use anyhow::{Context as _, Result, bail};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

const README: &str = "\
Kasmina grows neural networks while they train.

    ./kasmina plugins list
    ./kasmina train --epochs 5 --out /tmp/first

The folder may be anywhere and may be read-only; nothing is written into it.

GPU: libtorch's GPU libraries are searched in `cuda/` beside `lib/`. A link is sufficient:
    ln -s \"$(python3 -c 'import torch, os; print(os.path.join(os.path.dirname(torch.__file__), \"lib\"))')\" cuda
The version of that torch must be the one in `licences/libtorch.txt`. KASMINA_LIBTORCH_CUDA sets another folder.

SHA256SUMS has the hash of every file (`sha256sum -c SHA256SUMS`), sbom.cdx.json lists every component (CycloneDX), and
`licences/` has their licences.
";

/// Copies the program, the plugins and libtorch, without debug information. Returns an error if the program
/// or a plugin contains the path of a folder in `unnamed`: a distribution must not reveal where it was built.
pub(crate) fn copy(built: &Path, torch: &Path, out: &Path, cuda: bool, unnamed: &[PathBuf]) -> Result<()> {
    for folder in ["plugins", "lib"] {
        let folder = out.join(folder);
        fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    }
    copy_file(&built.join("kasmina"), &out.join("kasmina"), 0o755)?;
    copy_libraries(&built.join("plugins"), &out.join("plugins"))?;
    copy_libraries(&torch.join("lib"), &out.join("lib"))?;
    let mut ours = vec![out.join("kasmina")];
    ours.extend(fs::read_dir(out.join("plugins"))?.flatten().map(|entry| entry.path()));
    for file in &ours {
        strip(file)?;
        for folder in unnamed {
            refuse_path(file, folder)?;
        }
    }
    if cuda {
        let from = torch.join("cuda");
        if !from.is_dir() {
            bail!(
                "there are no GPU libraries in {}; `cargo xtask setup --cuda` fetches them",
                from.display()
            );
        }
        fs::create_dir_all(out.join("cuda"))?;
        copy_libraries(&from, &out.join("cuda"))?;
    }
    fs::write(out.join("README.txt"), README)?;
    Ok(())
}

/// Copies the shared libraries of a folder.
fn copy_libraries(from: &Path, to: &Path) -> Result<()> {
    let entries = fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))?;
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let target = fs::read_link(&path).ok().filter(|target| target.components().count() == 1);
        if let Some(target) = target {
            // A symbolic link to a library in the same folder.
            std::os::unix::fs::symlink(target, to.join(&name))?;
        } else if name.contains(".so") && path.is_file() {
            copy_file(&path, &to.join(&name), 0o644)?;
        }
    }
    Ok(())
}

fn copy_file(from: &Path, to: &Path, mode: u32) -> Result<()> {
    fs::copy(from, to).with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))?;
    fs::set_permissions(to, fs::Permissions::from_mode(mode))?;
    Ok(())
}

/// Returns an error if the file contains the path of `folder`.
fn refuse_path(file: &Path, folder: &Path) -> Result<()> {
    let bytes = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let name = folder.as_os_str().as_encoded_bytes();
    if let Some(at) = bytes.windows(name.len()).position(|bytes| bytes == name) {
        let text: Vec<u8> = bytes[at..].iter().copied().take_while(u8::is_ascii_graphic).take(200).collect();
        bail!(
            "{} contains the path of a folder of this machine: {}",
            file.display(),
            String::from_utf8_lossy(&text)
        );
    }
    Ok(())
}

/// Removes symbols that only debuggers read. Without the program `strip` the file is left as it is.
fn strip(file: &Path) -> Result<()> {
    match Command::new("strip").arg("--strip-unneeded").arg(file).status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => bail!("strip {} failed ({status})", file.display()),
        Err(_) => {
            eprintln!("{} keeps its debug information: there is no `strip`", file.display());
            Ok(())
        }
    }
}
