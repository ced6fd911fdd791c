//! The host `core::grafted`: any module that PyTorch has scripted or traced, with slots behind its
//! submodules.

mod config;
mod failure;
mod file;
pub(crate) mod gate;
mod pattern;
mod slots;

use config::GraftedConfig;
use failure::{refused, torch};
use kasmina_plugin_api::prelude::*;
use kasmina_plugin_api::register_host;
use kasmina_torch_ext::script::{Failed, Script};

/// A module as a host. Its interpreter looks at the module's mode and calls back in every step, on the host's
/// side, so that a replayed graph would not do what it does: it cannot be captured.
#[derive(Debug)]
pub(crate) struct Grafted {
    script: Script,
    slots: Vec<SlotSpec>,
    /// The mode that the module was put into last.
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
        let bytes = file::judged(path)?;
        let load = || Script::load(&bytes, vars.device()).map_err(|error| refused(path, &error));
        // Looking runs a forward, which may move what the module keeps: that is done to another than the
        // host.
        let slots = slots::find(load()?, path, &config, vars.device())?;
        let mut script = load()?;
        let paths: Vec<&str> = slots.iter().map(|slot| slot.name.as_str()).collect();
        script.attach(&paths).map_err(|error| refused(path, &error))?;
        own(&script, vars)?;
        Ok(Box::new(Self { script, slots, mode: None }))
    }
}

/// Makes the module's tensors the host's variables: the tensors themselves, under their own names. Those that
/// learn are those that were saved so; the others are kept with them as they are, whole numbers too.
fn own(script: &Script, vars: &nn::Path<'_>) -> Result<()> {
    for (name, tensor) in script.variables().map_err(torch)? {
        let (path, last) = name.rsplit_once('.').unwrap_or(("", &name));
        let path =
            path.split('.').filter(|part| !part.is_empty()).fold(vars.clone(), |path, part| path / part);
        let learns = tensor.requires_grad();
        let _ = path.add(last, tensor, learns);
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
