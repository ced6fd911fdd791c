//! Helpers of the whole-system tests: plugin libraries built as their authors build them, and the `kasmina`
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
pub mod python;
pub mod runs;
pub mod shell;
pub mod undisturbed;
pub mod world;

use kasmina_registry::{Origin, Policy, Registry, SearchPath};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Crate names of the plugins that ship with Kasmina.
pub const SHIPPED: [&str; 5] = [
    "kasmina_blends",
    "kasmina_blueprints_cnn",
    "kasmina_blueprints_transformer",
    "kasmina_declared",
    "kasmina_hosts",
];

/// Builds the binary and every plugin and fixture once, and returns their folder, `target/<profile>`. On a
/// machine without cargo, `KASMINA_TEST_BUILT` names a folder that already contains them.
///
/// # Panics
/// If cargo cannot build them.
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
        // The whole workspace, as `cargo test` resolves it: another choice of packages may select other
        // features, and then torch-sys is compiled again.
        cargo.args(["--workspace", "--all-features", "--lib", "--bins", "--examples"]);
        if release {
            cargo.arg("--release");
        }
        run(cargo);
        link_binary_alone(&profile);
        profile
    })
}

/// Links the binary into a folder of its own, where no `plugins` folder beside it can be found.
fn link_binary_alone(profile: &Path) {
    let folder = profile.join("kasmina-alone");
    std::fs::create_dir_all(&folder).expect("the target folder can be written");
    // Several test programs may do this at once, so the link appears under its name by a rename.
    let aside = folder.join(format!("kasmina.{}", std::process::id()));
    let _ = std::fs::remove_file(&aside);
    std::fs::hard_link(profile.join("kasmina"), &aside).expect("the binary can be linked");
    std::fs::rename(&aside, folder.join("kasmina")).expect("and renamed");
    let _ = std::fs::remove_file(&aside);
}

/// Returns a cargo command in this workspace, quiet and with the lock file as it is.
pub fn cargo(verb: &str) -> Command {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args([verb, "--quiet", "--locked"]).current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    cargo
}

/// Runs a command.
///
/// # Panics
/// If the command fails.
pub fn run(mut command: Command) {
    let out = command.output().expect("the program starts");
    assert!(out.status.success(), "{command:?}\n{}", String::from_utf8_lossy(&out.stderr));
}

/// Returns the path of a fixture's library.
pub fn fixture(name: &str) -> PathBuf {
    built().join("examples").join(format!("libfixture_{name}.so"))
}

/// Returns the path of a shipped plugin's library.
pub fn shipped(crate_name: &str) -> PathBuf {
    built().join(format!("lib{crate_name}.so"))
}

/// Loads a registry with the shipped plugins and some fixtures.
///
/// # Panics
/// If one of them is refused.
pub fn registry(fixtures: &[&str]) -> Registry {
    let mut path = SearchPath::empty();
    path.extend(SHIPPED.iter().map(|name| shipped(name)), Origin::Named);
    path.extend(fixtures.iter().map(|name| fixture(name)), Origin::Named);
    Registry::load(&path, &Policy::embedded()).expect("the plugins load")
}

/// Returns a command of the binary in a directory, with an otherwise empty environment and only the shipped
/// plugins in its search path.
///
/// # Panics
/// If the path of the plugins contains a colon.
pub fn kasmina(directory: &Path) -> Command {
    restore_interrupts();
    let mut command = Command::new(built().join("kasmina-alone/kasmina"));
    command.env_clear().current_dir(directory);
    let paths = std::env::join_paths(SHIPPED.iter().map(|name| shipped(name))).expect("no colon in paths");
    command.env("KASMINA_PLUGIN_PATH", paths).env("HOME", directory);
    // The tests' own builds are not signed. Tests of trust remove this variable.
    command.env("KASMINA_ALLOW_UNSIGNED", "1");
    command
}

/// Makes the programs that this process starts react to SIGINT. A shell that starts the tests in the
/// background makes them ignore SIGINT, and child processes inherit that.
fn restore_interrupts() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    // A signal with a handler is reset to its default action in a started program.
    ONCE.call_once(|| {
        let always = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
        let interrupt = signal_hook::consts::SIGINT;
        signal_hook::flag::register_conditional_default(interrupt, always).expect("SIGINT can be handled");
    });
}

/// Prints a line to standard error past the test harness, which hides the output of passing tests.
pub fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Returns the GPU with the number `KASMINA_TEST_GPU` (default 0). Without a GPU, prints that the test is
/// skipped and returns `None`.
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

/// Runs a command and returns its standard output, its standard error and its exit code.
///
/// # Panics
/// If the command cannot be started.
pub fn output(mut command: Command) -> (String, String, Option<i32>) {
    let out = command.output().expect("the binary starts");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    (text(out.stdout), text(out.stderr), out.status.code())
}

/// The author's guide, so that doctests compile and run every block of Rust in it.
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
