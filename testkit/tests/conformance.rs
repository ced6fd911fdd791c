//! The one line that an author writes, with the path of a plugin that is not this crate's own.

kasmina_testkit::conformance!({
    let exe = std::env::current_exe().unwrap();
    exe.ancestors().nth(2).unwrap().join("examples/libchecked_good.so")
});
