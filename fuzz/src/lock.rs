//! Parses arbitrary text as a lock file. It is read or refused; plugins of a file that is read are sorted by
//! name.

#![no_main]

use kasmina_registry::lock::Lock;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(lock) = Lock::parse(text) else { return };
    let names: Vec<&str> = lock.plugins().map(|plugin| plugin.name.as_str()).collect();
    assert!(
        names.is_sorted() && names.iter().all(|name| lock.find(name).is_some()),
        "plugins are sorted by name and can be found"
    );
});
