//! Derives settings and operations from bytes, and checks the properties of the lifecycle after each
//! operation.

#![no_main]

use kasmina_tests::laws;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let (settings, topology, operations) = laws::operations(bytes);
    laws::lifecycle(&settings, topology, &operations);
});
