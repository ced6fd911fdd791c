//! Compiles the shim against the libtorch that torch-sys found, and exports its directory to dependents.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

fn main() {
    // torch-sys has `links = "tch"`: its metadata is visible to direct dependents only.
    let Some(lib) = env::var_os("DEP_TCH_LIBTORCH_LIB").map(PathBuf::from) else {
        panic!("torch-sys reported no libtorch directory; run `cargo xtask setup` first");
    };
    let lib = lib.canonicalize().unwrap_or(lib);
    let include = lib.parent().map(|root| root.join("include")).unwrap_or_default();

    let sources = [
        "autocast",
        "autograd",
        "batch_norm",
        "buckets",
        "flops",
        "gloo",
        "memory",
        "neighbours",
        "optim",
        "pickle_check",
        "runtime",
        "script",
        "script_check",
        "store",
        "trace",
        "traced",
    ]
    .map(|name| format!("shim/{name}.cpp"));
    compiler(&include).files(&sources).compile("kasmina_torch_shim");
    gpu_half(&include);
    println!("cargo::rerun-if-changed=shim");

    // Dependents read it as DEP_KASMINA_TORCH_LIBDIR and set their rpath to it.
    println!("cargo::metadata=LIBDIR={}", lib.display());
    println!("cargo::rustc-link-arg=-Wl,-rpath,{}", lib.display());
}

fn compiler(include: &Path) -> cc::Build {
    let mut build = cc::Build::new();
    build
        .cpp(true)
        .pic(true)
        .std("c++17")
        .warnings(false)
        // The shim mostly forwards calls; only the scan of gradients on the CPU needs optimization.
        .opt_level(2)
        .debug(false)
        // Must match libtorch's own build: some of its classes have members only in debug builds.
        .define("NDEBUG", None)
        .include(include)
        .include("shim/gloo")
        .include(include.join("torch/csrc/api/include"));
    build
}

/// Links the GPU half as a separate shared library, whose symbols are resolved when it is opened after
/// `libtorch_cuda.so`. Without CUDA's headers an empty file is written instead.
fn gpu_half(include: &Path) {
    let Some(out) = env::var_os("OUT_DIR").map(|dir| PathBuf::from(dir).join("kasmina_cuda.so")) else {
        return;
    };
    let headers = ["cuda", "."].map(|dir| include.join(dir));
    let Some(cuda) = headers.iter().find(|dir| dir.join("cuda_runtime_api.h").exists()) else {
        println!(
            "cargo::warning=no CUDA headers beside libtorch: built without captured steps and fused layers"
        );
        if let Err(error) = std::fs::write(&out, []) {
            panic!("{}: {error}", out.display());
        }
        return;
    };
    // `cc` compiles the objects in parallel but cannot link a shared library, so the link is run directly.
    let objects = compiler(include)
        .include(cuda)
        .files(["echo", "fused", "graph", "optim", "program"].map(|name| format!("shim/cuda/{name}.cpp")))
        .cargo_metadata(false)
        .compile_intermediates();
    let tool = cc::Build::new().cpp(true).get_compiler();
    let mut link = Command::new(tool.path());
    link.args(["-shared", "-s", "-o"]).arg(&out).args(objects);
    match link.status() {
        Ok(status) if status.success() => {}
        other => panic!("cannot link the GPU half: {other:?}"),
    }
}
