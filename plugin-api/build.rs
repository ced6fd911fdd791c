//! Passes the versions of torch and of the compiler, the target and the profile to the crate. Every plugin
//! contains them in its record, and hosts compare them with their own.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

fn main() {
    let Some(lib) = env::var_os("DEP_TCH_LIBTORCH_LIB").map(PathBuf::from) else {
        panic!("torch-sys reported no libtorch directory; run `cargo xtask setup` first");
    };
    let version_h = lib.join("../include/torch/headeronly/version.h");
    let torch = torch_version(&version_h)
        .unwrap_or_else(|| panic!("{}: found no TORCH_VERSION", version_h.display()));
    println!("cargo::rerun-if-changed={}", version_h.display());
    println!("cargo::rustc-env=KASMINA_TORCH={torch}");
    println!("cargo::rustc-env=KASMINA_TARGET={}", env::var("TARGET").unwrap_or_default());
    println!("cargo::rustc-env=KASMINA_PROFILE={}", env::var("PROFILE").unwrap_or_default());
    println!("cargo::rustc-env=KASMINA_RUSTC={}", rustc_version().unwrap_or_else(|| "unknown".into()));
}

/// Reads the version of torch from lines such as `#define TORCH_VERSION_MAJOR 2`.
fn torch_version(header: &Path) -> Option<String> {
    let text = fs::read_to_string(header).ok()?;
    let part = |name: &str| {
        let define = format!("#define TORCH_VERSION_{name} ");
        text.lines().find_map(|line| line.strip_prefix(&define)).map(str::trim).map(str::to_owned)
    };
    Some(format!("{}.{}.{}", part("MAJOR")?, part("MINOR")?, part("PATCH")?))
}

fn rustc_version() -> Option<String> {
    let out = Command::new(env::var_os("RUSTC")?).arg("--version").output().ok()?;
    let text = String::from_utf8(out.stdout).ok()?;
    text.split_whitespace().nth(1).map(str::to_owned)
}
