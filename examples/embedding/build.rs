//! Lets the program find libtorch by itself.

fn main() {
    if let Ok(lib) = std::env::var("DEP_KASMINA_TORCH_LIBDIR") {
        println!("cargo::rustc-link-arg-bins=-Wl,-rpath,{lib}");
    }
}
