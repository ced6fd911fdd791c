//! Opens arbitrary bytes as the description and the weights of an export. It is opened or refused, and no
//! plugin is loaded.

#![no_main]

mod place;

use kasmina_export::Source;
use kasmina_trainer::run::Choice;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    // The description stands before the first line break, the file of weights behind it.
    let at = bytes.iter().position(|b| *b == b'\n').unwrap_or(bytes.len());
    let (config, weights) = bytes.split_at(at);
    place::empty();
    place::file("config.json", config);
    for name in ["model.safetensors", "seeds.safetensors", "adapter_model.safetensors", "model.pt"] {
        place::file(name, weights.get(1..).unwrap_or_default());
    }
    let _ = Source::open(place::folder(), Choice::Last);
    let _ = Source::open_onto(place::folder(), &place::folder().join("model.safetensors"));
});
