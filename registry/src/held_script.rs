//! TorchScript modules that this process loads for a plugin. They give access to every tensor by name, which
//! tch does not offer.

use kasmina_plugin_api::services::Script;
use kasmina_plugin_api::{PluginError, Result};
use kasmina_torch_ext::script::{self, Failed};
use std::convert::Infallible;
use tch::{Device, Tensor};

/// A loaded module, which is interpreted as it was saved.
pub(crate) struct HeldScript {
    module: script::Script,
    /// Whether the module is in train mode; `None` before the first forward.
    train: Option<bool>,
}

impl HeldScript {
    /// Loads a module from the bytes of its archive.
    pub(crate) fn load(archive: &[u8], device: Device) -> Result<Self> {
        Ok(Self { module: script::Script::load(archive, device).map_err(|e| torch(&e))?, train: None })
    }
}

impl Script for HeldScript {
    fn variables(&self) -> Result<Vec<(String, Tensor)>> {
        self.module.variables().map_err(|e| torch(&e))
    }

    fn forward(&mut self, x: &Tensor, train: bool) -> Result<Tensor> {
        if self.train != Some(train) {
            self.module.train(train).map_err(|e| torch(&e))?;
            self.train = Some(train);
        }
        self.module.forward(x, &mut |_, x| Ok::<_, Infallible>(x)).map_err(|failed| match failed {
            Failed::Torch(error) => torch(&error),
            Failed::Tap(never) => match never {},
        })
    }
}

fn torch(error: &kasmina_torch_ext::Error) -> PluginError {
    PluginError::torch(&error.to_string())
}
