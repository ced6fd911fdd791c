//! Decodes arbitrary bytes as a picture. It is read or refused.

#![no_main]

mod place;

use kasmina_trainer::task::{ImageInput, read_picture};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    place::empty();
    place::file("picture", bytes);
    for channels in [1, 3] {
        let statistics = vec![0.5; if channels == 1 { 1 } else { 3 }];
        let input =
            ImageInput { channels, height: 8, width: 8, mean: statistics.clone(), deviation: statistics };
        if let Ok(tensor) = read_picture(&place::folder().join("picture"), &input) {
            assert_eq!(tensor.size(), [channels, 8, 8]);
        }
    }
});
