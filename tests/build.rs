//! Lets the tests of this crate find libtorch. Its examples are plugins, which carry no search path of their
//! own.

fn main() {
    if let Ok(lib) = std::env::var("DEP_KASMINA_TORCH_LIBDIR") {
        println!("cargo::rustc-link-arg-tests=-Wl,-rpath,{lib}");
    }
}
