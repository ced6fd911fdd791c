//! Parses arbitrary text as a script of lifecycle operations. It runs, or is refused with a reason.

#![no_main]

use kasmina_tests::laws;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    laws::script(text);
});
