//! The built-in entries without a network: the control `core::noop` and the fallback blend `core::linear`.
//! The built-in host is in the module `grafted`.

use kasmina_plugin_api::prelude::*;
use kasmina_plugin_api::{Kind, register_blend, register_blueprint};

/// Name of the plugin that the built-in entries belong to.
pub(crate) const PLUGIN: &str = "core";

/// Whether no plugin may use an id. `linear` is not reserved: the built-in fallback is used by its full name,
/// and the shipped blends contain their own `linear`.
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

/// The control blueprint: its seed returns its input. It has no parameters, so it never passes gate G2.
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

/// The fallback blend: a linear ramp and linear interpolation, the defaults of every blender.
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
