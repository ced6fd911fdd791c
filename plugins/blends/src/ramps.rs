//! The four blends that mix by lerp. They differ only in the shape of the ramp, and at alpha 1 the mixture
//! is the seed's output.

use crate::ramp::{Ramp, STEEPNESS, Shape, s_curve};
use kasmina_plugin_api::prelude::*;

const SEED_AT_ONE: &[Capability] = &[Capability::SeedAtOne];

/// PyTorch source of all four.
const LERP: &str = include_str!("../pytorch/lerp.py");

/// A configuration without settings.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NoConfig {}

/// A blender with the default methods and a curve.
struct Lerp<F>(F);

impl<F: Fn(f64) -> f64 + Send> Blender for Lerp<F> {
    fn curve(&self, t: f64) -> f64 {
        (self.0)(t)
    }
}

/// A blend whose alpha rises by the same amount every tick.
#[derive(Debug)]
pub struct Linear;

impl Blend for Linear {
    const INFO: EntryInfo = EntryInfo::new("linear", "straight ramp, lerp").capabilities(SEED_AT_ONE);
    type Config = NoConfig;

    fn build(_: &nn::Path<'_>, _: &Site, _: NoConfig) -> Result<Box<dyn Blender>> {
        Ok(Box::new(Lerp(|t| t)))
    }

    fn pytorch(_: &Site, _: &NoConfig) -> Option<String> {
        Some(LERP.to_owned())
    }
}

/// A blend whose alpha rises along half a cosine, which is flat at both ends.
#[derive(Debug)]
pub struct Cosine;

impl Blend for Cosine {
    const INFO: EntryInfo = EntryInfo::new("cosine", "half a cosine, lerp").capabilities(SEED_AT_ONE);
    type Config = NoConfig;

    fn build(_: &nn::Path<'_>, _: &Site, _: NoConfig) -> Result<Box<dyn Blender>> {
        let ramp = Ramp { shape: Shape::Cosine, ..Ramp::default() };
        Ok(Box::new(Lerp(move |t| ramp.at(t))))
    }

    fn pytorch(_: &Site, _: &NoConfig) -> Option<String> {
        Some(LERP.to_owned())
    }
}

/// Settings of the blend `sigmoid`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SigmoidConfig {
    /// Steepness of the middle: 6 is gentle, 12 the default, 24 sharp.
    #[schemars(range(min = 0.1, max = 100.0))]
    pub steepness: f64,
}

impl Default for SigmoidConfig {
    fn default() -> Self {
        Self { steepness: STEEPNESS }
    }
}

/// A blend whose alpha rises along a logistic curve.
#[derive(Debug)]
pub struct Sigmoid;

impl Blend for Sigmoid {
    const INFO: EntryInfo = EntryInfo::new("sigmoid", "S-shaped ramp, lerp").capabilities(SEED_AT_ONE);
    type Config = SigmoidConfig;

    fn build(_: &nn::Path<'_>, _: &Site, config: SigmoidConfig) -> Result<Box<dyn Blender>> {
        let ramp = Ramp { shape: Shape::Sigmoid, steepness: config.steepness }.check()?;
        Ok(Box::new(Lerp(move |t| ramp.at(t))))
    }

    fn pytorch(_: &Site, _: &SigmoidConfig) -> Option<String> {
        Some(LERP.to_owned())
    }
}

/// Settings of the blend `tanh`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TanhConfig {
    /// Position on the ramp at which alpha is half way.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub midpoint: f64,
    /// Width of the middle as a share of the ramp: 1/6 is as steep as `sigmoid` by default.
    #[schemars(range(min = 0.01, max = 10.0))]
    pub temperature: f64,
}

impl Default for TanhConfig {
    fn default() -> Self {
        Self { midpoint: 0.5, temperature: 2.0 / STEEPNESS }
    }
}

/// A blend whose alpha rises along `0.5 + 0.5 tanh((t - midpoint) / temperature)`.
#[derive(Debug)]
pub struct Tanh;

impl Blend for Tanh {
    const INFO: EntryInfo =
        EntryInfo::new("tanh", "tanh schedule with midpoint and temperature, lerp").capabilities(SEED_AT_ONE);
    type Config = TanhConfig;

    fn build(_: &nn::Path<'_>, _: &Site, config: TanhConfig) -> Result<Box<dyn Blender>> {
        let TanhConfig { midpoint, temperature } = config;
        if !(0.0..=1.0).contains(&midpoint) {
            return Err(PluginError::config(format!("midpoint {midpoint} is not in 0..=1")));
        }
        if !(0.01..=10.0).contains(&temperature) {
            return Err(PluginError::config(format!("temperature {temperature} is not in 0.01..=10")));
        }
        Ok(Box::new(Lerp(move |t| s_curve((t - midpoint) / temperature))))
    }

    fn pytorch(_: &Site, _: &TanhConfig) -> Option<String> {
        Some(LERP.to_owned())
    }
}

kasmina_plugin_api::register_blend!(Linear);
kasmina_plugin_api::register_blend!(Cosine);
kasmina_plugin_api::register_blend!(Sigmoid);
kasmina_plugin_api::register_blend!(Tanh);

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    #[test]
    fn the_tanh_schedule_is_the_sigmoid_of_twice_its_inverse_temperature() {
        let vars = nn::VarStore::new(Device::Cpu);
        let site = Site::new(Topology::CNN, 4);
        let tanh = Tanh::build(&vars.root(), &site, TanhConfig { midpoint: 0.5, temperature: 0.25 }).unwrap();
        let sigmoid = Sigmoid::build(&vars.root(), &site, SigmoidConfig { steepness: 8.0 }).unwrap();
        for t in [0.0, 0.2, 0.5, 0.9, 1.0] {
            assert!((tanh.curve(t) - sigmoid.curve(t)).abs() < 1e-15);
        }
    }
}
