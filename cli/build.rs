//! The binary finds libtorch by itself, from any directory and under an empty environment.

fn main() {
    println!("cargo::rerun-if-env-changed=KASMINA_RPATH");
    // A distribution brings libtorch along and is moved about.
    let wanted = std::env::var("KASMINA_RPATH");
    // Only a program that stays on this machine finds the checkout that it was built in.
    if let (Err(_), Ok(own)) = (&wanted, std::env::var("CARGO_MANIFEST_DIR")) {
        println!("cargo::rustc-env=KASMINA_PLUGIN_API={own}/../plugin-api");
    }
    if let Ok(lib) = wanted.or_else(|_| std::env::var("DEP_KASMINA_TORCH_LIBDIR")) {
        println!("cargo::rustc-link-arg-bins=-Wl,-rpath,{lib}");
        // The libtorch that it was built against, whatever LD_LIBRARY_PATH names.
        println!("cargo::rustc-link-arg-bins=-Wl,--disable-new-dtags");
    }
}
