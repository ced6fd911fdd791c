//! The macro `conformance`, with the path of a plugin that is not the library of this crate.

kasmina_testkit::conformance!({
    let exe = std::env::current_exe().unwrap();
    exe.ancestors().nth(2).unwrap().join("examples/libchecked_good.so")
});
