//! A straight ramp.

use kasmina_plugin_api::prelude::*;

/// `linear` has no settings.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LinearConfig {}

/// Alpha rises by the same amount every tick.
#[derive(Debug)]
pub struct Linear;

impl Blend for Linear {
    const INFO: EntryInfo =
        EntryInfo::new("linear", "straight ramp, lerp").capabilities(&[Capability::SeedAtOne]);
    type Config = LinearConfig;

    fn build(_: &nn::Path<'_>, _: &Site, _: LinearConfig) -> Result<Box<dyn Blender>> {
        Ok(Box::new(Self))
    }
}

/// Every default is what `linear` is.
impl Blender for Linear {}

kasmina_plugin_api::register_blend!(Linear);
