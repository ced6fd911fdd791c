//! Parses arbitrary text as a request to a live run and as its reply. A request survives a round trip.

#![no_main]

use kasmina_trainer::control::{Reply, Request};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|line: &str| {
    if let Ok(request) = serde_json::from_str::<Request>(line) {
        let written = serde_json::to_string(&request).expect("a request can be serialized");
        assert_eq!(
            serde_json::from_str::<Request>(&written).expect("a serialized request can be parsed"),
            request
        );
    }
    let _ = serde_json::from_str::<Reply>(line);
});
