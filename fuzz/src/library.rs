//! Parses arbitrary bytes as a plugin library. Its records are read, or it is refused; it is never opened.

#![no_main]

mod place;

use kasmina_registry::Manifest;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let path = place::file("libany.so", bytes);
    if let Err(refusal) = Manifest::read(&path) {
        assert!(
            !refusal.found.is_empty() && !refusal.remedy.is_empty(),
            "a refusal has a message and a remedy"
        );
    }
});
