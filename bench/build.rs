//! Sets an rpath, so that the programs find libtorch from any directory and with an empty environment.

fn main() {
    if let Ok(lib) = std::env::var("DEP_KASMINA_TORCH_LIBDIR") {
        println!("cargo::rustc-link-arg-bins=-Wl,-rpath,{lib}");
        println!("cargo::rustc-link-arg-benches=-Wl,-rpath,{lib}");
    }
}
