//! Any text as a script: run, or refused with a place.

#![no_main]

use kasmina_tests::laws;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    laws::script(text);
});
