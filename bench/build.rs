//! The programs find libtorch by themselves, from any directory and under an empty environment.

fn main() {
    if let Ok(lib) = std::env::var("DEP_KASMINA_TORCH_LIBDIR") {
        println!("cargo::rustc-link-arg-bins=-Wl,-rpath,{lib}");
        println!("cargo::rustc-link-arg-benches=-Wl,-rpath,{lib}");
    }
}
