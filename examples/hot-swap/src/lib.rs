//! The blend `swappable`, to be edited while a run is live. README.md has the steps.

#![forbid(unsafe_code)]

use kasmina_plugin_api::prelude::*;

/// How the ramp bends: 1 is a straight line, more is late, less is early. Edit this while a run is live.
const BEND: f64 = 1.0;

/// `swappable` has no settings.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(crate = "kasmina_plugin_api::serde", deny_unknown_fields)]
#[schemars(crate = "kasmina_plugin_api::schemars")]
pub struct NoConfig {}

/// A blend with a ramp that this plugin's builds change.
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
    fn it_rises() {
        assert!(Swappable.curve(0.25) < Swappable.curve(0.75));
    }
}
