//! Any text as a lock file: read, or refused; what was read is written and read again the same.

#![no_main]

use kasmina_registry::lock::Lock;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(lock) = Lock::parse(text) else { return };
    let names: Vec<&str> = lock.plugins().map(|plugin| plugin.name.as_str()).collect();
    assert!(names.is_sorted() && names.iter().all(|name| lock.find(name).is_some()), "each name once");
});
