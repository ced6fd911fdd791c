//! What the whole-system tests share: real libraries built as their authors would build them, and the real
//! binary.

#![forbid(unsafe_code)]

pub mod archive;
pub mod author;
pub mod behaviours;
pub mod bench;
pub mod builds;
pub mod cases;
pub mod files;
pub mod in_process;
pub mod laws;
pub mod runs;
pub mod shell;
pub mod undisturbed;

use kasmina_registry::{Origin, Policy, Registry, SearchPath};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The plugins that ship with Kasmina, by crate.
pub const SHIPPED: [&str; 5] = [
    "kasmina_blends",
    "kasmina_blueprints_cnn",
    "kasmina_blueprints_transformer",
    "kasmina_declared",
    "kasmina_hosts",
];

/// `target/<profile>`, with every plugin, fixture and the binary built; or the folder that
/// `KASMINA_TEST_BUILT` names, on a machine that has no cargo.
///
/// # Panics
/// If cargo cannot build them: then there is nothing to test.
pub fn built() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        if let Some(folder) = std::env::var_os("KASMINA_TEST_BUILT") {
            return folder.into();
        }
        let exe = std::env::current_exe().expect("a test has a path");
        let profile = exe.parent().and_then(Path::parent).expect("target/<profile>/deps/test").to_owned();
        let release = profile.ends_with("release");
        let mut cargo = cargo("build");
        // The whole workspace, as `cargo test` has just resolved it: another choice of packages would mean
        // other features somewhere, and torch-sys compiled again.
        cargo.args(["--workspace", "--all-features", "--lib", "--bins", "--examples"]);
        if release {
            cargo.arg("--release");
        }
        run(cargo);
        isolate(&profile);
        profile
    })
}

/// The binary once more, in a folder without a `plugins` beside it: what a user has installed must not be
/// found.
fn isolate(profile: &Path) {
    let folder = profile.join("kasmina-alone");
    std::fs::create_dir_all(&folder).expect("the target folder can be written");
    // Several test programs may be here at once: link aside, then rename.
    let aside = folder.join(format!("kasmina.{}", std::process::id()));
    let _ = std::fs::remove_file(&aside);
    std::fs::hard_link(profile.join("kasmina"), &aside).expect("the binary can be linked");
    std::fs::rename(&aside, folder.join("kasmina")).expect("and renamed");
    let _ = std::fs::remove_file(&aside);
}

/// A cargo of this workspace, quiet and offline enough to be run inside a test.
pub fn cargo(verb: &str) -> Command {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args([verb, "--quiet", "--locked"]).current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    cargo
}

/// Runs a command that must succeed.
///
/// # Panics
/// If it does not.
pub fn run(mut command: Command) {
    let out = command.output().expect("the program starts");
    assert!(out.status.success(), "{command:?}\n{}", String::from_utf8_lossy(&out.stderr));
}

/// Path of a fixture's library.
pub fn fixture(name: &str) -> PathBuf {
    built().join("examples").join(format!("libfixture_{name}.so"))
}

/// Path of a shipped plugin's library.
pub fn shipped(crate_name: &str) -> PathBuf {
    built().join(format!("lib{crate_name}.so"))
}

/// A registry with the shipped plugins and some fixtures, loaded from their files.
///
/// # Panics
/// If one of them is refused.
pub fn registry(fixtures: &[&str]) -> Registry {
    let mut path = SearchPath::empty();
    path.extend(SHIPPED.iter().map(|name| shipped(name)), Origin::Named);
    path.extend(fixtures.iter().map(|name| fixture(name)), Origin::Named);
    Registry::load(&path, &Policy::embedded()).expect("the plugins load")
}

/// The binary, under an empty environment, in an empty directory, with the shipped plugins and nothing else.
///
/// # Panics
/// If the plugins lie in a folder that cannot be named in a search path.
pub fn kasmina(directory: &Path) -> Command {
    heed_interrupts();
    let mut command = Command::new(built().join("kasmina-alone/kasmina"));
    command.env_clear().current_dir(directory);
    let paths = std::env::join_paths(SHIPPED.iter().map(|name| shipped(name))).expect("no colon in paths");
    command.env("KASMINA_PLUGIN_PATH", paths).env("HOME", directory);
    // What the tests have built themselves is vouched for; who tests trust takes this away.
    command.env("KASMINA_ALLOW_UNSIGNED", "1");
    command
}

/// Programs that this process starts heed SIGINT, also where a shell has started the tests in the background,
/// which makes them ignore it: a program that ignores a signal when it starts goes on ignoring it.
fn heed_interrupts() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    // A signal with a handler is one with the default action in the programs that are started.
    ONCE.call_once(|| {
        let always = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
        let interrupt = signal_hook::consts::SIGINT;
        signal_hook::flag::register_conditional_default(interrupt, always).expect("SIGINT can be handled");
    });
}

/// Past the test harness, which hides what a passing test prints.
pub fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// The GPU, if there is one (number `KASMINA_TEST_GPU`, or 0); a test that asks in vain says loudly that it
/// was skipped.
pub fn gpu(test: &str) -> Option<tch::Device> {
    match kasmina_torch_ext::cuda::open() {
        Ok(()) if tch::Cuda::is_available() => {
            let index = std::env::var("KASMINA_TEST_GPU").ok().and_then(|index| index.parse().ok());
            return Some(tch::Device::Cuda(index.unwrap_or(0)));
        }
        Ok(()) => say(&format!("SKIPPED {test}: torch sees no GPU")),
        Err(error) => say(&format!("SKIPPED {test}: {error}")),
    }
    None
}

/// Standard output and error of a command, and its exit code.
///
/// # Panics
/// If it cannot be started.
pub fn output(mut command: Command) -> (String, String, Option<i32>) {
    let out = command.output().expect("the binary starts");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    (text(out.stdout), text(out.stderr), out.status.code())
}

/// The author's guide: every block of Rust in it compiles, and runs.
#[cfg(doctest)]
mod guide {
    #[doc = include_str!("../../docs/guide/first-plugin.md")]
    mod first_plugin {}
    #[doc = include_str!("../../docs/guide/config.md")]
    mod config {}
    #[doc = include_str!("../../docs/guide/state.md")]
    mod state {}
    #[doc = include_str!("../../docs/guide/promises.md")]
    mod promises {}
    #[doc = include_str!("../../docs/guide/pytorch.md")]
    mod pytorch {}
    #[doc = include_str!("../../docs/guide/swapping.md")]
    mod swapping {}
    #[doc = include_str!("../../docs/guide/shipping.md")]
    mod shipping {}
    #[doc = include_str!("../../docs/guide/compatibility.md")]
    mod compatibility {}
}
