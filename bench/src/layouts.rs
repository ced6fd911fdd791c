//! Compares memory formats and numbers of threads on the CPU, for several sizes of network.

use crate::grown::{Grown, Net};
use crate::setting::Setting;
use crate::stopwatch::{Row, Runner, in_turns};
use kasmina::model::Precision;
use tch::Device;

/// Sizes of network: name, channels of the first block, side of the images, batch.
const SIZES: [(&str, i64, i64, i64); 4] = [
    ("tiny, 3 channels, 8x8, b64", 3, 8, 64),
    ("small, 8 channels, 16x16, b32", 8, 16, 32),
    ("medium, 32 channels, 32x32, b32", 32, 32, 32),
    ("large batch, 32 channels, 32x32, b128", 32, 32, 128),
];

/// Measures the host alone, in both memory formats, on one thread and on all cores.
pub(crate) fn measure(rounds: usize, quick: bool) -> Vec<Row> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let mut rows = Vec::new();
    for (name, channels, side, batch) in SIZES {
        let setting = Setting { device: Device::Cpu, batch, precision: Precision::Fp32 };
        let mut runners = Vec::new();
        for (layout, threads, side_name) in [
            ("channels_last", 1, "channels-last, 1 thread"),
            ("contiguous", 1, "contiguous, 1 thread"),
            ("channels_last", cores, "channels-last, all cores"),
            ("contiguous", cores, "contiguous, all cores"),
        ] {
            let host =
                format!(r#"{{"in_channels": 3, "base_channels": {channels}, "memory_format": "{layout}"}}"#);
            let mut grown = Grown::of(Net::Alone, setting, &host, &[batch, 3, side, side], false);
            runners.push(Runner {
                name: format!("cpu layout: {name}"),
                side: side_name,
                step: Box::new(move || {
                    tch::set_num_threads(threads as i32);
                    grown.step();
                }),
            });
        }
        rows.extend(in_turns(runners, Device::Cpu, rounds, if quick { 2 } else { 5 }));
    }
    tch::set_num_threads(1);
    rows
}
