//! The least time that a step can take: what memory bandwidth and arithmetic allow, were everything else
//! free.
//!
//! Counted are bytes that must move although everything between two convolutions is one kernel: a convolution
//! reads its input and writes its output; a norm with batch statistics reads its input twice, and so does its
//! gradient; weights and per-channel numbers are nothing beside features. Arithmetic is that of the
//! convolutions, three times their forward (two where the input takes no gradient).

use crate::grown::Net;
use crate::setting::Setting;
use crate::stopwatch::Row;
use kasmina::model::Precision;

/// What the machine can do. Measured on one H200, not its data sheet: a copy between two large tensors, and a
/// large matrix product, in TF32 and bfloat16.
const BYTES_PER_SECOND: f64 = 4.3e12;
const FLOPS_TF32: f64 = 400e12;
const FLOPS_BF16: f64 = 790e12;

/// The row of a network in a setting; only the GPU's figures are known.
pub(crate) fn row(net: Net, setting: Setting) -> Option<Row> {
    if !setting.device.is_cuda() {
        return None;
    }
    let (mut elements, mut flops) = (0.0, 0.0);
    let (mut input, mut side) = (3.0, 32.0);
    for block in 0..3 {
        let channels = f64::from(32 << block);
        let pixels = setting.batch as f64 * side * side;
        let (before, wide, pooled) = (pixels * input, pixels * channels, pixels * channels / 4.0);
        let product = 2.0 * 9.0 * input * channels * pixels;
        // Forward: convolution, statistics, norm with ReLU and pool.
        elements += (before + wide) + wide + (wide + pooled);
        // Backward: sums, gradient, weights, and the input where it has one.
        elements += (wide + pooled) + (2.0 * wide + pooled) + (before + wide);
        flops += 2.0 * product;
        if block > 0 {
            elements += wide + before;
            flops += product;
        }
        let (more, products) = seed(net);
        elements += more * pooled;
        flops += products * 2.0 * 9.0 * channels * channels * pixels / 4.0;
        (input, side) = (channels, side / 2.0);
    }
    let bf16 = setting.precision == Precision::Bf16;
    let (width, rate) = if bf16 { (2.0, FLOPS_BF16) } else { (4.0, FLOPS_TF32) };
    // Neither hides the other completely; the larger is the bound.
    let seconds = f64::max(elements * width / BYTES_PER_SECOND, flops / rate);
    Some(Row {
        name: format!("{} {}", setting.name(), net.name()),
        side: "limit".into(),
        us: vec![seconds * 1e6],
    })
}

/// For each element of the features at a slot: how many are moved there, and how many products of a
/// convolution's size are made.
fn seed(net: Net) -> (f64, f64) {
    match net {
        Net::Alone | Net::Dormant => (0.0, 0.0),
        // Convolution 2, norm with residual 3; backwards 3, weights 2.
        Net::Training => (10.0, 2.0),
        // The same, the input's gradient 2 and its sum 3, lerp 3 and its gradient 3.
        Net::Blending => (21.0, 3.0),
        Net::Fossilized => (15.0, 3.0),
    }
}
