//! The side `limit` of the comparisons: a lower bound of the time of a training step, from memory bandwidth
//! and arithmetic.
//!
//! Memory traffic is counted as if everything between two convolutions were one kernel: a convolution reads
//! its input and writes its output; a norm with batch statistics reads its input twice, and so does its
//! gradient. Weights and per-channel values are neglected. Arithmetic is that of the convolutions: three
//! times their forward, or twice if the input needs no gradient.

use crate::grown::Net;
use crate::setting::Setting;
use crate::stopwatch::Row;
use kasmina::model::Precision;

/// Memory bandwidth of one H200, measured with a copy between two large tensors.
const BYTES_PER_SECOND: f64 = 4.3e12;
/// Floating-point operations per second of one H200, measured with a large matrix product in TF32.
const FLOPS_TF32: f64 = 400e12;
/// The same in bfloat16.
const FLOPS_BF16: f64 = 790e12;

/// The row of a network in a setting. Returns `None` on the CPU, whose limits are not known.
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
        // Forward: convolution; statistics; norm with ReLU and pool.
        elements += (before + wide) + wide + (wide + pooled);
        // Backward: sums; gradient; weights. The gradient of the input follows below.
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
    // Memory traffic and arithmetic overlap at best completely, so the larger time is the bound.
    let seconds = f64::max(elements * width / BYTES_PER_SECOND, flops / rate);
    Some(Row {
        name: format!("{} {}", setting.name(), net.name()),
        side: "limit".into(),
        us: vec![seconds * 1e6],
    })
}

/// Work of a seed: elements that are moved for each element of the features at its slot, and number of
/// products of the size of a convolution.
fn seed(net: Net) -> (f64, f64) {
    match net {
        Net::Alone | Net::Dormant => (0.0, 0.0),
        // Forward: convolution 2, norm with residual 3. Backward: norm 3, weights 2.
        Net::Training => (10.0, 2.0),
        // In addition: gradient of the input 2 and its sum 3, lerp 3 and its gradient 3.
        Net::Blending => (21.0, 3.0),
        Net::Fossilized => (15.0, 3.0),
    }
}
