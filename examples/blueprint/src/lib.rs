//! The blueprint `contrast`: `x + g * (x - neighbourhood(x))`, one learned `g` per channel.
//!
//! The seed sharpens (`g > 0`) or smooths (`g < 0`) the features of a slot. It has only one parameter per
//! channel, so it is a cheap first seed for any slot. This example shows an entry that serves two topologies,
//! and how a seed for sequences stays *causal*.

#![forbid(unsafe_code)]

use kasmina_plugin_api::prelude::*;

/// Settings of the blueprint `contrast`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(crate = "kasmina_plugin_api::serde", default, deny_unknown_fields)]
#[schemars(crate = "kasmina_plugin_api::schemars")]
pub struct ContrastConfig {
    /// Size of the neighbourhood: positions to each side in a feature map, earlier positions in a sequence.
    #[schemars(range(min = 1, max = 16))]
    pub reach: i64,
}

impl Default for ContrastConfig {
    fn default() -> Self {
        Self { reach: 1 }
    }
}

/// Builds seeds of the blueprint `contrast`.
#[derive(Debug)]
pub struct Contrast;

impl Blueprint for Contrast {
    const INFO: EntryInfo = EntryInfo::new("contrast", "x + g * (x - neighbourhood(x)), g = 0 at birth")
        .topologies(&[Topology::CNN, Topology::TRANSFORMER])
        .capabilities(&[Capability::IdentityAtBirth]);
    type Config = ContrastConfig;

    fn build(vars: &nn::Path<'_>, site: &Site, config: ContrastConfig) -> Result<Box<dyn Seed>> {
        let reach = config.reach;
        if !(1..=16).contains(&reach) {
            return Err(PluginError::config(format!("reach {reach} is not in 1..=16")));
        }
        let sequence = site.topology() == Topology::TRANSFORMER;
        let channels = site.channels();
        // The shape that broadcasts over [N, T, C] or [N, C, H, W].
        let shape = if sequence { vec![channels] } else { vec![1, channels, 1, 1] };
        Ok(Box::new(ContrastSeed { gain: vars.zeros("gain", &shape), reach, sequence }))
    }

    fn cost(site: &Site, config: &ContrastConfig) -> Option<Cost> {
        let (c, side) = (site.channels().unsigned_abs(), (2 * config.reach + 1).unsigned_abs());
        let neighbours = if site.topology() == Topology::CNN { side * side } else { side.div_ceil(2) };
        Some(Cost { parameters: c, flops_per_position: c * (neighbours + 2) })
    }
}

#[derive(Debug)]
struct ContrastSeed {
    gain: Tensor,
    reach: i64,
    sequence: bool,
}

impl ContrastSeed {
    /// Returns the mean of the neighbourhood of each position in a feature map, without positions outside the
    /// map.
    ///
    /// # Shapes
    /// `x` and the result: `[batch, channels, height, width]`.
    fn around(&self, x: &Tensor) -> Result<Tensor> {
        let side = 2 * self.reach + 1;
        Ok(x.f_avg_pool2d([side, side], [1, 1], [self.reach, self.reach], false, false, None)?)
    }

    /// Returns the mean of each position of a sequence and the positions before it, so that no position
    /// depends on a later one. Positions before the first count as zero.
    ///
    /// # Shapes
    /// `x` and the result: `[batch, positions, channels]`.
    fn before(&self, x: &Tensor) -> Result<Tensor> {
        let channels_first = x.f_transpose(1, 2)?.f_constant_pad_nd([self.reach, 0])?;
        let mean = channels_first.f_avg_pool1d([self.reach + 1], [1], [0], false, true)?;
        Ok(mean.f_transpose(1, 2)?)
    }
}

impl Seed for ContrastSeed {
    fn forward(&mut self, x: &Tensor, _: &Cx<'_>) -> Result<Tensor> {
        let near = if self.sequence { self.before(x)? } else { self.around(x)? };
        Ok(x.f_addcmul(&x.f_sub(&near)?, &self.gain)?)
    }
}

kasmina_plugin_api::register_blueprint!(Contrast);
kasmina_plugin_api::export_plugin!();

#[cfg(test)]
mod tests {
    use super::*;
    use kasmina_plugin_api::tch::{Device, Kind, no_grad};

    fn sharpened(topology: Topology, x: &Tensor) -> Tensor {
        let vars = nn::VarStore::new(Device::Cpu);
        let site = Site::new(topology, 1);
        let mut seed = Contrast::build(&vars.root(), &site, ContrastConfig::default()).unwrap();
        no_grad(|| {
            for mut gain in vars.trainable_variables() {
                let _ = gain.fill_(1.0);
            }
            seed.forward(x, &Cx::new(Mode::Eval, 0, "early")).unwrap()
        })
    }

    #[test]
    fn a_constant_map_is_unchanged_and_an_edge_is_sharpened() {
        let even = Tensor::ones([1, 1, 4, 4], (Kind::Float, Device::Cpu));
        assert!(sharpened(Topology::CNN, &even).equal(&even));
        let edge = Tensor::from_slice(&[0.0f32, 0.0, 1.0, 1.0]).reshape([1, 1, 1, 4]);
        let sharp = Vec::<f32>::try_from(sharpened(Topology::CNN, &edge).reshape([-1])).unwrap();
        assert!(sharp[1] < 0.0 && sharp[2] > 1.0, "{sharp:?}");
    }

    #[test]
    fn a_sequence_is_compared_with_its_past() {
        let steps = Tensor::from_slice(&[2.0f32, 2.0, 4.0]).reshape([1, 3, 1]);
        let sharp = Vec::<f32>::try_from(sharpened(Topology::TRANSFORMER, &steps).reshape([-1])).unwrap();
        assert_eq!(sharp, [3.0, 2.0, 5.0]);
    }
}
