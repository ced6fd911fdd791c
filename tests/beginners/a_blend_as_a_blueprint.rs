use kasmina_plugin_api::prelude::*;

#[derive(Default, Deserialize, JsonSchema)]
#[serde(crate = "kasmina_plugin_api::serde")]
#[schemars(crate = "kasmina_plugin_api::schemars")]
struct Config {}

struct Ramp;

impl Blend for Ramp {
    const INFO: EntryInfo = EntryInfo::new("ramp", "a beginner's");
    type Config = Config;

    fn build(_: &nn::Path<'_>, _: &Site, _: Config) -> Result<Box<dyn Blender>> {
        Ok(Box::new(Ramp))
    }
}

impl Blender for Ramp {}

kasmina_plugin_api::register_blueprint!(Ramp);
kasmina_plugin_api::export_plugin!();

fn main() {}
