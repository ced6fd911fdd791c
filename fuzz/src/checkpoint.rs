//! Parses arbitrary bytes as a manifest, a state and a tensor file of a checkpoint. They are read or refused.

#![no_main]

use kasmina_checkpoint::{Manifest, Tensors, parse_state};
use libfuzzer_sys::fuzz_target;
use std::path::Path;

fuzz_target!(|bytes: &[u8]| {
    let path = Path::new("anything");
    let _ = Manifest::parse(path, bytes);
    let _ = parse_state(path, bytes);
    if let Ok(tensors) = Tensors::parse(path, bytes.to_vec()) {
        let all: usize = tensors.iter().map(|(_, view)| view.bytes.len()).sum();
        assert!(all <= bytes.len(), "tensors are within the file");
    }
});
