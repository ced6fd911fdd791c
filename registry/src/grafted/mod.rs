//! The host `core::grafted`: any module that PyTorch has scripted or traced, with slots behind its submodules.

mod file;
mod pattern;
mod slots;

use kasmina_plugin_api::prelude::*;
use kasmina_plugin_api::register_host;
use kasmina_torch_ext::script::{Failed, Script};
use std::path::PathBuf;
use tch::{Device, Kind};

/// The settings of `grafted`. By default there is no module, and nothing can be built.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(crate = "kasmina_plugin_api::schemars")]
#[serde(crate = "kasmina_plugin_api::serde")]
pub(crate) struct GraftedConfig {
    /// A file that torch.jit.save has written; a relative path starts from the working directory. Its forward takes one
    /// tensor and returns one.
    #[schemars(extend("format" = "path"))]
    pub(crate) module: Option<PathBuf>,
    /// Submodules behind which there is a slot, by dotted path (`layer1.0`). `*` stands for any part of one name, `**`
    /// for any number of names; with either, what cannot carry a slot is passed over, and so are what the module
    /// returns and maps of one position. By default every child of the module is meant.
    #[schemars(length(min = 1))]
    pub(crate) slots: Vec<String>,
    /// The shape of one input without the batch: `[C, H, W]` of an image, `[T]` of tokens.
    #[schemars(inner(range(min = 1)))]
    pub(crate) sample: Vec<i64>,
    /// The input is tokens (64-bit integers) and not float32.
    pub(crate) tokens: bool,
    /// What flows through the slots. If not given: `cnn` for `[N, C, H, W]`, `transformer` for `[N, T, C]`.
    pub(crate) topology: Option<String>,
}

impl Default for GraftedConfig {
    fn default() -> Self {
        let slots = vec!["*".to_owned()];
        Self { module: None, slots, sample: Vec::new(), tokens: false, topology: None }
    }
}

impl GraftedConfig {
    /// A batch of zeros. Token 0 is in every vocabulary.
    fn zeros(&self, device: Device) -> Result<Tensor> {
        // A number that is no other dimension's: where the batch went can be seen of the features.
        let batch = if self.sample.contains(&2) { 3 } else { 2 };
        let shape: Vec<i64> = std::iter::once(batch).chain(self.sample.iter().copied()).collect();
        let kind = if self.tokens { Kind::Int64 } else { Kind::Float };
        Ok(Tensor::f_zeros(shape, (kind, device))?)
    }
}

/// A module as a host. Its interpreter looks at the module's mode and calls back in every step, on the host's side, so
/// that a replayed graph would not do what it does: it cannot be captured.
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
        let bytes = file::read(path)?;
        let load = || Script::load(&bytes, vars.device()).map_err(|error| file::refused(path, &error));
        // Looking runs a forward, which may move what the module keeps: that is done to another than the host.
        let slots = slots::find(load()?, path, &config, vars.device())?;
        let mut script = load()?;
        let paths: Vec<&str> = slots.iter().map(|slot| slot.name.as_str()).collect();
        script.attach(&paths).map_err(|error| file::refused(path, &error))?;
        own(&script, vars)?;
        Ok(Box::new(Self { script, slots, mode: None }))
    }
}

/// Makes the module's tensors the host's variables: the tensors themselves, under their own names. Those that learn are
/// those that were saved so; the others are kept with them as they are, whole numbers too.
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

fn torch(error: kasmina_torch_ext::Error) -> PluginError {
    match error {
        kasmina_torch_ext::Error::Torch(text) => PluginError::torch(&text),
        other => PluginError::other(other.to_string()),
    }
}

register_host!(Grafted);
