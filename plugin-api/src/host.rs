//! Host networks, and the taps through which their features pass the slots.

use crate::{EntryInfo, Mode, PluginError, Result, Topology};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use tch::{Tensor, nn};

/// A factory of host networks.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a host",
    label = "implement `kasmina_plugin_api::Host` for it",
    note = "a host has a `const INFO` and a `type Config`, and builds a `Box<dyn HostModule>`",
    note = "register the factory, not the module that it builds; blueprints are registered by `register_blueprint!`, blends by `register_blend!`"
)]
pub trait Host: 'static {
    /// Description of the host, which is read without running its code.
    const INFO: EntryInfo;
    /// Configuration of the host, read from JSON. An empty configuration is the default.
    type Config: DeserializeOwned + JsonSchema + Default;

    /// Builds the network. All its variables must be created under `vars`.
    ///
    /// # Errors
    /// If the configuration is not valid.
    fn build(vars: &nn::Path<'_>, config: Self::Config) -> Result<Box<dyn HostModule>>;

    /// Returns the source of the same module in plain PyTorch, for networks that are exported. Since 1.1.
    ///
    /// The guide's page on PyTorch has the rules: the last class is the module, and its parameters have the
    /// names of the variables.
    fn pytorch(_config: &Self::Config) -> Option<String> {
        None
    }
}

/// A slot of a host: an injection point for a seed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SlotSpec {
    /// Name of the slot, such as `block0`. It must not change during the life of the host.
    pub name: String,
    /// Other names of the slot, such as `early`.
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

    /// Whether `name` is the slot's name or one of its aliases.
    pub fn answers_to(&self, name: &str) -> bool {
        self.name == name || self.aliases.iter().any(|a| a == name)
    }

    /// Adds the aliases `early`, `mid` and `late` to the last slots of the first, second and last third.
    ///
    /// If there are fewer than three slots, one slot gets several of these aliases.
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

/// A host network. Dimension 0 is the batch everywhere. In [`Mode::Eval`] the samples of a batch must not
/// influence each other, because the counterfactuals of all slots run as one larger batch.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a host module",
    label = "implement `kasmina_plugin_api::HostModule` for it",
    note = "a host module is what a host builds; it has `fn slots(&self) -> Vec<SlotSpec>` and `fn forward(&mut self, x: &Tensor, taps: &mut Taps<'_>) -> Result<Tensor>`"
)]
pub trait HostModule: Send {
    /// Returns the slots in the order in which forward reaches them.
    fn slots(&self) -> Vec<SlotSpec>;

    /// Runs the whole network. It must call `x = taps.at(slot, x)?` once for each slot, in order.
    ///
    /// It must not change the tensor that a tap returned in place, and must return the error of a tap.
    ///
    /// # Shapes
    /// `x` and the output are the task's: images `[N, C, H, W]` to logits `[N, classes]`, tokens `[N, T]` to
    /// logits `[N, T, vocabulary]`.
    ///
    /// # Errors
    /// If a torch call or a tap fails. Use the `f_` functions of tch and `?`.
    fn forward(&mut self, x: &Tensor, taps: &mut Taps<'_>) -> Result<Tensor>;

    /// Computes the logits of the next token from the new tokens `x` and from what this instance has kept of
    /// the `past` tokens that earlier calls received. `past` of 0 begins new sequences. Returns `None` if the
    /// host has no such cache; the caller then calls [`forward`](Self::forward) with all tokens. Since 1.1.
    ///
    /// It must return what [`forward`](Self::forward) returns at the last position for all tokens together,
    /// up to rounding. It is called only in [`Mode::Eval`], and passes the features of the new tokens to each
    /// slot. The default returns `None`.
    ///
    /// # Shapes
    /// `x`: tokens `[N, T]`, with the `N` of the call that began the sequences. Output: `[N, vocabulary]`.
    ///
    /// # Errors
    /// As for [`forward`](Self::forward), or if `past` is not the number of tokens that were kept.
    fn forward_cached(&mut self, _x: &Tensor, _past: i64, _taps: &mut Taps<'_>) -> Result<Option<Tensor>> {
        Ok(None)
    }

    /// Returns the state between two forwards besides the variables, for checkpoints. Most hosts have none.
    /// Since 1.1.
    ///
    /// # Errors
    /// If the state cannot be serialized.
    fn state(&self) -> Result<Vec<u8>> {
        Ok(Vec::new())
    }

    /// Restores the state that [`state`](Self::state) returned in an instance whose
    /// [`EntryInfo::state_version`] was `from_version`. Not called for an empty state. Since 1.1.
    ///
    /// # Errors
    /// If the bytes cannot be read.
    fn restore(&mut self, _bytes: &[u8], _from_version: u32) -> Result<()> {
        Err(PluginError::unsupported("this host has no state besides its variables"))
    }
}

/// Access to the slots of a host during one forward, to which the host passes its features.
pub struct Taps<'a> {
    handler: &'a mut dyn TapHandler,
    mode: Mode,
}

/// The implementation behind [`Taps`].
pub trait TapHandler {
    /// Receives the features at a slot and returns the features with which the host continues.
    ///
    /// # Shapes
    /// `x` and the output have the same shape.
    ///
    /// # Errors
    /// If the slot's seed fails.
    fn at(&mut self, slot: usize, x: Tensor) -> Result<Tensor>;
}

impl<'a> Taps<'a> {
    /// Creates the taps of one forward. Hosts receive theirs from the caller of forward; tests create their
    /// own.
    pub fn new(handler: &'a mut dyn TapHandler, mode: Mode) -> Self {
        Self { handler, mode }
    }

    /// Whether the model trains or evaluates.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// Returns the features with which the host continues after the slot at position `slot` in
    /// [`HostModule::slots`].
    ///
    /// An empty slot returns the same tensor and runs nothing.
    ///
    /// # Shapes
    /// `x` and the output have the same shape.
    ///
    /// # Errors
    /// If the slot's seed fails. The host must return this error.
    pub fn at(&mut self, slot: usize, x: Tensor) -> Result<Tensor> {
        self.handler.at(slot, x)
    }
}

impl std::fmt::Debug for Taps<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Taps").field("mode", &self.mode).finish_non_exhaustive()
    }
}
