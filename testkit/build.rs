//! Lets this crate's tests find libtorch.

fn main() {
    if let Ok(lib) = std::env::var("DEP_KASMINA_TORCH_LIBDIR") {
        println!("cargo::rustc-link-arg-tests=-Wl,-rpath,{lib}");
    }
}
