//! Host networks and the taps through which seeds are grafted into them.

use crate::{EntryInfo, Mode, PluginError, Result, Topology};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use tch::{Tensor, nn};

/// A host topology: the factory.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a host",
    label = "implement `kasmina_plugin_api::Host` for it",
    note = "a host names itself in `const INFO`, has a `type Config` and builds a `Box<dyn HostModule>`",
    note = "what is registered is the factory and not the module that it builds; blueprints are registered by `register_blueprint!`, blends by `register_blend!`"
)]
pub trait Host: 'static {
    /// What can be known without running code.
    const INFO: EntryInfo;
    /// Settings of the host, read from JSON; the default is what an empty configuration means.
    type Config: DeserializeOwned + JsonSchema + Default;

    /// Builds the network; every variable is made under `vars`.
    ///
    /// # Errors
    /// If the configuration cannot be served.
    fn build(vars: &nn::Path<'_>, config: Self::Config) -> Result<Box<dyn HostModule>>;

    /// Returns the source of the same module in plain PyTorch, for networks that are exported. Since 1.1.
    ///
    /// The guide's page on PyTorch has the rules: the last class is the module, and its parameters have the
    /// names of the variables.
    fn pytorch(_config: &Self::Config) -> Option<String> {
        None
    }
}

/// A point where a seed may be grafted.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SlotSpec {
    /// Its own name, stable for the life of the host: `block0`.
    pub name: String,
    /// Other names for it: `early`.
    pub aliases: Vec<String>,
    /// Topology of the features at the slot.
    pub topology: Topology,
    /// Size of the channel dimension.
    pub channels: i64,
}

impl SlotSpec {
    /// Describes a slot without aliases.
    pub fn new(name: impl Into<String>, topology: Topology, channels: i64) -> Self {
        Self { name: name.into(), aliases: Vec::new(), topology, channels }
    }

    /// Adds another name for the slot.
    #[must_use]
    pub fn alias(mut self, alias: impl Into<String>) -> Self {
        self.aliases.push(alias.into());
        self
    }

    /// Whether this is its name or one of its aliases.
    pub fn answers_to(&self, name: &str) -> bool {
        self.name == name || self.aliases.iter().any(|a| a == name)
    }

    /// Gives `early`, `mid` and `late` to the slots that end the first, second and last third.
    ///
    /// A list of fewer than three slots gives one slot several of these names.
    #[must_use]
    pub fn alias_thirds(mut slots: Vec<Self>) -> Vec<Self> {
        let n = slots.len();
        for (third, name) in ["early", "mid", "late"].into_iter().enumerate() {
            if let Some(slot) = ((third + 1) * n).div_ceil(3).checked_sub(1).and_then(|i| slots.get_mut(i)) {
                slot.aliases.push(name.to_owned());
            }
        }
        slots
    }
}

/// A living host network. Dimension 0 is the batch everywhere, and in [`Mode::Eval`] samples do not influence
/// each other: counterfactuals of all slots run as one larger batch.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a host module",
    label = "implement `kasmina_plugin_api::HostModule` for it",
    note = "a host module is what a host builds; it has `fn slots(&self) -> Vec<SlotSpec>` and `fn forward(&mut self, x: &Tensor, taps: &mut Taps<'_>) -> Result<Tensor>`"
)]
pub trait HostModule: Send {
    /// Where seeds may be grafted, in the order in which forward reaches them.
    fn slots(&self) -> Vec<SlotSpec>;

    /// The whole network. At each slot, in order and once: `x = taps.at(slot, x)?`.
    ///
    /// Never change what a tap returned in place, and pass its error on.
    ///
    /// # Shapes
    /// `x` and the output are the task's: images `[N, C, H, W]` to logits `[N, classes]`, tokens `[N, T]` to
    /// logits `[N, T, vocabulary]`.
    ///
    /// # Errors
    /// Use the `f_` functions of tch and `?`.
    fn forward(&mut self, x: &Tensor, taps: &mut Taps<'_>) -> Result<Tensor>;

    /// What lasts between two forwards besides variables, for checkpoints; most hosts have nothing. Since
    /// 1.1.
    ///
    /// # Errors
    /// If it cannot be told.
    fn state(&self) -> Result<Vec<u8>> {
        Ok(Vec::new())
    }

    /// Takes state back that an instance of `from_version` ([`EntryInfo::state_version`]) has told; it is
    /// never empty. Since 1.1.
    ///
    /// # Errors
    /// If these bytes cannot be read.
    fn restore(&mut self, _bytes: &[u8], _from_version: u32) -> Result<()> {
        Err(PluginError::unsupported("this host has no state besides its variables"))
    }
}

/// What a host hands its features to; lent by the core for one forward.
pub struct Taps<'a> {
    handler: &'a mut dyn TapHandler,
    mode: Mode,
}

/// The core's side of a tap.
pub trait TapHandler {
    /// Takes the features of a slot and gives back what flows on.
    ///
    /// # Errors
    /// If the slot's seed failed.
    fn at(&mut self, slot: usize, x: Tensor) -> Result<Tensor>;
}

impl<'a> Taps<'a> {
    /// Taps for one forward; hosts get theirs from the core, tests make their own.
    pub fn new(handler: &'a mut dyn TapHandler, mode: Mode) -> Self {
        Self { handler, mode }
    }

    /// Whether the model trains or evaluates.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// The features that flow on from slot number `slot` (the position in [`HostModule::slots`]).
    ///
    /// With nothing grafted there, it is the same tensor back and nothing is run.
    ///
    /// # Errors
    /// If the slot's seed failed; pass it on.
    pub fn at(&mut self, slot: usize, x: Tensor) -> Result<Tensor> {
        self.handler.at(slot, x)
    }
}

impl std::fmt::Debug for Taps<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Taps").field("mode", &self.mode).finish_non_exhaustive()
    }
}
