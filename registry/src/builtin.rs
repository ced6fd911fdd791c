//! The entries that every process has and that bring no network: the control and the fallback. The built-in
//! host is `grafted`.

use kasmina_plugin_api::prelude::*;
use kasmina_plugin_api::{Kind, register_blend, register_blueprint};

/// The namespace of the built-ins.
pub(crate) const PLUGIN: &str = "core";

/// Bare ids that no plugin may take. `linear` is not among them: the built-in one is the fallback under its
/// full name, and the plugin that ships with Kasmina brings its own.
pub(crate) fn is_reserved(kind: Kind, id: &str) -> bool {
    kind == Kind::Blueprint && id == Noop::INFO.id
}

/// A configuration without settings.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(crate = "kasmina_plugin_api::schemars")]
#[serde(crate = "kasmina_plugin_api::serde")]
pub(crate) struct NoConfig {}

/// The built-in blueprint and blend in plain PyTorch.
const NOOP: &str = "\
class Noop(nn.Module):
    \"\"\"Returns its input\"\"\"

    def __init__(self, channels, topology):
        super().__init__()

    def forward(self, x):
        return x
";
const LERP: &str = "\
class Lerp(nn.Module):
    \"\"\"host + alpha * (seed - host)\"\"\"

    def __init__(self, channels, topology, **ramp):
        super().__init__()

    def forward(self, host, seed, alpha):
        return torch.lerp(host, seed, alpha)
";

/// The control: a seed that does nothing, has nothing to learn and so never passes G2.
pub(crate) struct Noop;

impl Blueprint for Noop {
    const INFO: EntryInfo = EntryInfo::new("noop", "the control: does nothing, can never pass G2")
        .capabilities(&[Capability::IdentityAtBirth]);
    type Config = NoConfig;

    fn build(_: &nn::Path<'_>, _: &Site, _: NoConfig) -> Result<Box<dyn Seed>> {
        Ok(Box::new(Self))
    }
    fn cost(_: &Site, _: &NoConfig) -> Option<Cost> {
        Some(Cost::default())
    }
    fn pytorch(_: &Site, _: &NoConfig) -> Option<String> {
        Some(NOOP.to_owned())
    }
}

impl Seed for Noop {
    fn forward(&mut self, x: &Tensor, _: &Cx<'_>) -> Result<Tensor> {
        Ok(x.shallow_clone())
    }
}

/// The fallback blend: a linear ramp and lerp, which is what every blender does by default.
pub(crate) struct Linear;

impl Blend for Linear {
    const INFO: EntryInfo = EntryInfo::new("linear", "linear ramp, lerp; the built-in fallback");
    type Config = NoConfig;

    fn build(_: &nn::Path<'_>, _: &Site, _: NoConfig) -> Result<Box<dyn Blender>> {
        Ok(Box::new(Self))
    }
    fn pytorch(_: &Site, _: &NoConfig) -> Option<String> {
        Some(LERP.to_owned())
    }
}

impl Blender for Linear {}

register_blueprint!(Noop);
register_blend!(Linear);
