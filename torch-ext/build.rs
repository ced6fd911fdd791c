//! Compiles the shim against the same libtorch that torch-sys found, and tells dependents where it lies.

use std::env;
use std::path::PathBuf;

fn main() {
    // torch-sys has `links = "tch"`: its metadata is visible to direct dependents only.
    let Some(lib) = env::var_os("DEP_TCH_LIBTORCH_LIB").map(PathBuf::from) else {
        panic!("torch-sys told no libtorch directory; run `cargo xtask setup` first");
    };
    let lib = lib.canonicalize().unwrap_or(lib);
    let include = lib.parent().map(|root| root.join("include")).unwrap_or_default();

    let sources = ["shim/autograd.cpp", "shim/memory.cpp", "shim/optim.cpp", "shim/runtime.cpp"];
    cc::Build::new()
        .cpp(true)
        .pic(true)
        .std("c++17")
        .warnings(false)
        // The shim forwards; what costs time is behind it.
        .opt_level(1)
        .debug(false)
        .include(&include)
        .include(include.join("torch/csrc/api/include"))
        .files(sources)
        .compile("kasmina_torch_shim");
    for source in sources {
        println!("cargo::rerun-if-changed={source}");
    }
    println!("cargo::rerun-if-changed=shim/shim.h");

    // Dependents read it as DEP_KASMINA_TORCH_LIBDIR and make their rpath of it.
    println!("cargo::metadata=LIBDIR={}", lib.display());
    println!("cargo::rustc-link-arg=-Wl,-rpath,{}", lib.display());
}
