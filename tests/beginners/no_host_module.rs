use kasmina_plugin_api::prelude::*;

#[derive(Default, Deserialize, JsonSchema)]
#[serde(crate = "kasmina_plugin_api::serde")]
#[schemars(crate = "kasmina_plugin_api::schemars")]
struct Config {}

struct Net;

impl Host for Net {
    const INFO: EntryInfo = EntryInfo::new("net", "a beginner's");
    type Config = Config;

    fn build(_: &nn::Path<'_>, _: Config) -> Result<Box<dyn HostModule>> {
        Ok(Box::new(Net))
    }
}

kasmina_plugin_api::register_host!(Net);
kasmina_plugin_api::export_plugin!();

fn main() {}
