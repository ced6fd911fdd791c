//! Sets the run path of this crate's tests, so that they find libtorch.

fn main() {
    if let Ok(lib) = std::env::var("DEP_KASMINA_TORCH_LIBDIR") {
        println!("cargo::rustc-link-arg-tests=-Wl,-rpath,{lib}");
    }
}
