//! The host `core::grafted`: a module that PyTorch has scripted or traced, with slots behind its submodules.

mod config;
mod failure;
mod file;
mod pattern;
mod slots;
pub(crate) mod verify_module;

use config::GraftedConfig;
use failure::{refused, torch};
use kasmina_plugin_api::prelude::*;
use kasmina_plugin_api::register_host;
use kasmina_torch_ext::script::{Failed, Script};

/// A grafted module. In every step, the TorchScript interpreter reads the module's mode and calls back for
/// each slot on the CPU. A replayed graph would skip both, so steps with this host cannot be captured.
#[derive(Debug)]
pub(crate) struct Grafted {
    script: Script,
    slots: Vec<SlotSpec>,
    /// The present mode of the module; `None` before the first forward.
    mode: Option<Mode>,
}

impl Host for Grafted {
    const INFO: EntryInfo =
        EntryInfo::new("grafted", "a TorchScript module, a slot behind each submodule named")
            .capabilities(&[Capability::NotCapturable]);
    type Config = GraftedConfig;

    fn build(vars: &nn::Path<'_>, config: GraftedConfig) -> Result<Box<dyn HostModule>> {
        let Some(path) = &config.module else {
            let text = "`grafted` needs a module: give `module`, a file that torch.jit.save has written, and `sample`, \
                        the shape of one input without the batch";
            return Err(PluginError::config(text));
        };
        if config.sample.is_empty() || config.sample.iter().any(|size| *size < 1) {
            let text = format!(
                "`sample` is {:?}; give the shape of one input without the batch, such as [3, 32, 32], or [64] with \
                 `tokens = true`",
                config.sample
            );
            return Err(PluginError::config(text));
        }
        let bytes = file::verified_bytes(path)?;
        let load = || Script::load(&bytes, vars.device()).map_err(|error| refused(path, &error));
        // Finding the slots runs a forward, which may change the module's buffers. So it uses a second
        // instance of the module.
        let slots = slots::find(load()?, path, &config, vars.device())?;
        let mut script = load()?;
        let paths: Vec<&str> = slots.iter().map(|slot| slot.name.as_str()).collect();
        script.attach(&paths).map_err(|error| refused(path, &error))?;
        register_variables(&script, vars)?;
        Ok(Box::new(Self { script, slots, mode: None }))
    }
}

/// Registers the module's tensors as the host's variables, under their own names and without copying them.
/// Tensors that were saved with `requires_grad` are trained; all others are registered too, integers
/// included.
fn register_variables(script: &Script, vars: &nn::Path<'_>) -> Result<()> {
    for (name, tensor) in script.variables().map_err(torch)? {
        let (path, last) = name.rsplit_once('.').unwrap_or(("", &name));
        let path =
            path.split('.').filter(|part| !part.is_empty()).fold(vars.clone(), |path, part| path / part);
        let trainable = tensor.requires_grad();
        let _ = path.add(last, tensor, trainable);
    }
    Ok(())
}

impl HostModule for Grafted {
    fn slots(&self) -> Vec<SlotSpec> {
        self.slots.clone()
    }

    fn forward(&mut self, x: &Tensor, taps: &mut Taps<'_>) -> Result<Tensor> {
        let mode = taps.mode();
        if self.mode != Some(mode) {
            self.script.train(mode.is_train()).map_err(torch)?;
            self.mode = Some(mode);
        }
        self.script.forward(x, &mut |slot, x| taps.at(slot, x)).map_err(|failed| match failed {
            Failed::Tap(error) => error,
            Failed::Torch(error) => torch(error),
        })
    }
}

register_host!(Grafted);
