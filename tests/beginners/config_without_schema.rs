use kasmina_plugin_api::prelude::*;

#[derive(Default, Deserialize)]
#[serde(crate = "kasmina_plugin_api::serde")]
struct Config {}

struct Plan;

impl Blueprint for Plan {
    const INFO: EntryInfo = EntryInfo::new("plan", "a beginner's");
    type Config = Config;

    fn build(vars: &nn::Path<'_>, site: &Site, _: Config) -> Result<Box<dyn Seed>> {
        Ok(Box::new(Gain(vars.zeros("gain", &[site.channels()]))))
    }
}

struct Gain(Tensor);

impl Seed for Gain {
    fn forward(&mut self, x: &Tensor, _: &Cx<'_>) -> Result<Tensor> {
        Ok(x.f_mul(&self.0)?)
    }
}

kasmina_plugin_api::register_blueprint!(Plan);
kasmina_plugin_api::export_plugin!();

fn main() {}
