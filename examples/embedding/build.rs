//! Sets the run path of the program, so that it finds libtorch.

fn main() {
    if let Ok(lib) = std::env::var("DEP_KASMINA_TORCH_LIBDIR") {
        println!("cargo::rustc-link-arg-bins=-Wl,-rpath,{lib}");
    }
}
