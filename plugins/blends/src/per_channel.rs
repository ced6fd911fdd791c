//! The blend `per_channel`, `h + a (1 + w_c) (s - h)` with a learned weight per channel.

use crate::precise::mix_in_alpha_precision;
use crate::ramp::Ramp;
use crate::ungated::RampConfig;
use kasmina_plugin_api::prelude::*;

/// A lerp with one weight per channel. The weights are 0 at birth, so it starts as a plain lerp. A weight
/// gets a gradient if the seed differs from the host and alpha is not 0.
#[derive(Debug)]
pub struct PerChannel {
    ramp: Ramp,
    weight: Tensor,
}

impl Blend for PerChannel {
    const INFO: EntryInfo =
        EntryInfo::new("per_channel", "h + a (1 + w) (s - h), w learned per channel, 0 at birth");
    type Config = RampConfig;

    fn build(vars: &nn::Path<'_>, site: &Site, config: RampConfig) -> Result<Box<dyn Blender>> {
        let channels = site.channels();
        let shape = if site.topology() == Topology::TRANSFORMER {
            vec![1, 1, channels]
        } else {
            vec![1, channels, 1, 1]
        };
        Ok(Box::new(Self { ramp: config.ramp.check()?, weight: vars.zeros("weight", &shape) }))
    }

    fn pytorch(_: &Site, _: &RampConfig) -> Option<String> {
        Some(include_str!("../pytorch/per_channel.py").to_owned())
    }
}

impl Blender for PerChannel {
    fn curve(&self, t: f64) -> f64 {
        self.ramp.at(t)
    }
    fn mix(&mut self, host: &Tensor, seed: &Tensor, alpha: &Tensor, _: &Cx<'_>) -> Result<Tensor> {
        mix_in_alpha_precision(host, seed, alpha, |host, seed, alpha| {
            let alphas = alpha.f_addcmul(alpha, &self.weight.f_to_kind(alpha.kind())?)?;
            Ok(host.f_lerp_tensor(seed, &alphas)?)
        })
    }
}

kasmina_plugin_api::register_blend!(PerChannel);
