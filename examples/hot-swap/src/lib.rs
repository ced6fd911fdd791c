//! The blend `swappable`, which is edited and rebuilt during a live run. README.md lists the steps.

#![forbid(unsafe_code)]

use kasmina_plugin_api::prelude::*;

/// Exponent of the ramp: 1 is a straight line, larger values delay the rise, smaller values advance it. Edit
/// this value during a live run.
const BEND: f64 = 1.0;

/// `swappable` has no settings.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(crate = "kasmina_plugin_api::serde", deny_unknown_fields)]
#[schemars(crate = "kasmina_plugin_api::schemars")]
pub struct NoConfig {}

/// A blend whose ramp differs between builds of this plugin.
#[derive(Debug)]
pub struct Swappable;

impl Blend for Swappable {
    const INFO: EntryInfo = EntryInfo::new("swappable", "a ramp to be edited while a run is live")
        .capabilities(&[Capability::SeedAtOne]);
    type Config = NoConfig;

    fn build(_: &nn::Path<'_>, _: &Site, _: NoConfig) -> Result<Box<dyn Blender>> {
        Ok(Box::new(Self))
    }
}

impl Blender for Swappable {
    fn curve(&self, t: f64) -> f64 {
        t.powf(BEND)
    }
}

kasmina_plugin_api::register_blend!(Swappable);
kasmina_plugin_api::export_plugin!();

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_curve_rises() {
        assert!(Swappable.curve(0.25) < Swappable.curve(0.75));
    }
}
