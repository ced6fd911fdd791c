//! What computes a network: its host with taps, or a module that contains the seeds.

use kasmina_plugin_api::abi::{HostInstance, Variable};
use kasmina_plugin_api::{Mode, PluginError, Result, TapHandler};
use kasmina_torch_ext::script::{Failed, Script};
use tch::{Device, Kind, Tensor};

/// What computes a network.
#[derive(Debug)]
pub(super) enum Body {
    /// A host, which calls a tap at each slot.
    Host(HostInstance),
    /// A TorchScript module without taps, and the type that it computes in.
    Module(Script, Kind),
}

impl Body {
    /// Loads a TorchScript archive. It keeps the type of its weights, which the code of a traced module may
    /// name.
    pub(super) fn load(
        archive: &[u8],
        device: Device,
    ) -> std::result::Result<Self, kasmina_torch_ext::Error> {
        let script = Script::load(archive, device)?;
        let mut kinds = script.variables()?.into_iter().map(|(_, tensor)| tensor);
        let kind = kinds.find(Tensor::is_floating_point).map_or(Kind::Float, |tensor| tensor.kind());
        Ok(Self::Module(script, kind))
    }

    /// Runs the network in eval mode. The output of a module is float32.
    ///
    /// # Shapes
    /// As [`Network::forward`](super::Network::forward).
    pub(super) fn forward(&mut self, x: &Tensor, taps: &mut dyn TapHandler) -> Result<Tensor> {
        match self {
            Self::Host(host) => host.forward(x, Mode::Eval, taps),
            Self::Module(script, kind) => {
                let x = if x.is_floating_point() { &x.f_to_kind(*kind)? } else { x };
                let output = script.forward(x, &mut |_, x| Ok::<_, PluginError>(x));
                let output = output.map_err(|failed| match failed {
                    Failed::Tap(error) => error,
                    Failed::Torch(error) => PluginError::other(error.to_string()),
                })?;
                Ok(output.f_to_kind(Kind::Float)?)
            }
        }
    }

    /// Reads the tokens that follow earlier ones; `None` if no tokens are kept.
    ///
    /// # Shapes
    /// `x`: `[N, T]`; output: `[N, vocabulary]`.
    pub(super) fn forward_cached(
        &mut self,
        x: &Tensor,
        past: i64,
        taps: &mut dyn TapHandler,
    ) -> Result<Option<Tensor>> {
        match self {
            Self::Host(host) => host.forward_cached(x, past, taps),
            Self::Module(..) => Ok(None),
        }
    }

    /// Returns the variables of the host; `None` for a module, whose type cannot be changed.
    pub(super) fn variables(&self) -> Result<Option<Vec<Variable>>> {
        match self {
            Self::Host(host) => host.variables().map(Some),
            Self::Module(..) => Ok(None),
        }
    }
}
