//! Sets the run path of the binary, so that it finds libtorch from any directory and without environment
//! variables.

fn main() {
    println!("cargo::rerun-if-env-changed=KASMINA_RPATH");
    // A distribution contains libtorch and may be moved, so that its run path is relative.
    let wanted = std::env::var("KASMINA_RPATH");
    // Only a program that is not distributed may refer to the checkout that it was built in.
    if let (Err(_), Ok(own)) = (&wanted, std::env::var("CARGO_MANIFEST_DIR")) {
        println!("cargo::rustc-env=KASMINA_PLUGIN_API={own}/../plugin-api");
    }
    if let Ok(lib) = wanted.or_else(|_| std::env::var("DEP_KASMINA_TORCH_LIBDIR")) {
        println!("cargo::rustc-link-arg-bins=-Wl,-rpath,{lib}");
        // RPATH instead of RUNPATH: the libtorch of the build takes precedence over LD_LIBRARY_PATH.
        println!("cargo::rustc-link-arg-bins=-Wl,--disable-new-dtags");
    }
}
