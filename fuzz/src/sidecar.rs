//! Reads arbitrary text as the sidecar of a TorchScript seed, or as its signature. Reading must not panic.

#![no_main]

mod place;

use kasmina_registry::keys::Keys;
use kasmina_registry::survey::inspect;
use kasmina_registry::Policy;
use libfuzzer_sys::fuzz_target;

const SIDECAR: &str = "[blueprint]\nid = \"x\"\nsummary = \"x\"\n";

fuzz_target!(|texts: (bool, &str)| {
    let (is_signature, text) = texts;
    let module = place::file("any.pt", b"PK\x03\x04 not much");
    place::file("any.pt.toml", if is_signature { SIDECAR } else { text }.as_bytes());
    if is_signature {
        place::file("any.pt.minisig", text.as_bytes());
    } else {
        place::remove("any.pt.minisig");
    }
    let policy = Policy::embedded().trusting(Keys::in_folder(place::folder().join("keys")));
    let _ = inspect(&module, &policy);
});
