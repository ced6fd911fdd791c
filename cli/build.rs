//! The binary finds libtorch by itself, from any directory and under an empty environment.

fn main() {
    if let Ok(lib) = std::env::var("DEP_KASMINA_TORCH_LIBDIR") {
        println!("cargo::rustc-link-arg-bins=-Wl,-rpath,{lib}");
        // The libtorch that it was built against, whatever LD_LIBRARY_PATH names.
        println!("cargo::rustc-link-arg-bins=-Wl,--disable-new-dtags");
    }
}
