//! Sampling the curves of blends into tables that the lifecycle can store.

use crate::lifecycle::Curve;
use crate::model::CommandError;
use kasmina_plugin_api::abi::BlendInstance;

/// Largest number of intervals of a sampled curve; a longer ramp interpolates linearly between its points.
const CURVE_POINTS: u32 = 1024;

/// Samples a blend's own curve with one interval per tick of the ramp, at most [`CURVE_POINTS`].
pub(super) fn sample_curve(blend: &BlendInstance, ticks: u32) -> Result<Curve, CommandError> {
    sample_points(blend, ticks.min(CURVE_POINTS))
}

/// Samples a blend's own curve on a uniform grid of `points` intervals, at least one.
pub(in crate::model) fn sample_points(blend: &BlendInstance, points: u32) -> Result<Curve, CommandError> {
    let points = points.max(1);
    let samples = (0..=points).map(|i| blend.curve(f64::from(i) / f64::from(points)));
    Ok(Curve::sampled(&samples.collect::<Result<Vec<_>, _>>()?)?)
}
