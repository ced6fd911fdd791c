//! Curves of blends as the lifecycle can keep them.

use crate::lifecycle::Curve;
use crate::model::CommandError;
use kasmina_plugin_api::abi::BlendInstance;

/// Points of a blend's curve that are kept; a longer ramp goes straight between them.
const CURVE_POINTS: u32 = 1024;

/// Samples a blend's own curve: one point per tick of the ramp, if they are not too many.
pub(super) fn sample_curve(blend: &BlendInstance, ticks: u32) -> Result<Curve, CommandError> {
    sample_points(blend, ticks.min(CURVE_POINTS))
}

/// Samples a blend's own curve on a grid of this many intervals.
pub(in crate::model) fn sample_points(blend: &BlendInstance, points: u32) -> Result<Curve, CommandError> {
    let points = points.max(1);
    let samples = (0..=points).map(|i| blend.curve(f64::from(i) / f64::from(points)));
    Ok(Curve::sampled(&samples.collect::<Result<Vec<_>, _>>()?)?)
}
