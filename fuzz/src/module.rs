//! Any bytes as a TorchScript archive: loaded, or refused. Nothing of its code runs.

#![no_main]

use kasmina_torch_ext::script::Script;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = Script::load(bytes, tch::Device::Cpu);
});
