//! Reads arbitrary bytes as a quarantine file. A file that cannot be read is never changed.

#![no_main]

mod place;

use kasmina_registry::quarantine::Quarantine;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let path = place::file("quarantine.json", bytes);
    let quarantine = Quarantine::in_file(&path);
    if quarantine.list().is_err() {
        assert!(quarantine.clear(None).is_err());
        assert_eq!(std::fs::read(&path).expect("the file exists"), bytes, "a damaged file is left alone");
    }
});
