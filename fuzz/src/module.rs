//! Loads arbitrary bytes as a TorchScript archive. They are loaded or refused; no code of the archive runs.

#![no_main]

use kasmina_torch_ext::script::Script;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = Script::load(bytes, tch::Device::Cpu);
});
