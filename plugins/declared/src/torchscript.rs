//! The blueprint `torchscript`, which builds seeds from a TorchScript module and its sidecar.

use crate::header::{self, Header};
use crate::layer::{Mix, RESIDUAL};
use crate::mix::Mixer;
use crate::reader::{At, Reader};
use crate::source::{Fault, Source};
use kasmina_plugin_api::prelude::*;
use kasmina_plugin_api::services::{self, Script};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use tch::{CModule, TrainableCModule};

/// Unparsed configuration of `torchscript`: the sidecar, and the path of the module.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawTorchScript {
    /// Name of the sidecar in messages.
    pub file: String,
    /// The text of the sidecar, `NAME.pt.toml`.
    pub source: String,
    /// Path of the module.
    pub module: String,
    /// Values for parameters. A sidecar has no parameters, so this must be empty.
    #[serde(default)]
    pub settings: Map<String, Value>,
}

/// Configuration of `torchscript`. The default has no module, and building a seed from it fails.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(try_from = "RawTorchScript")]
pub struct TorchScriptConfig {
    module: Option<Arc<Module>>,
}

/// A parsed sidecar.
#[derive(Debug)]
struct Module {
    source: Source,
    header: Header,
    path: String,
    channels: Option<At<i64>>,
    mix: Mix,
}

impl TryFrom<RawTorchScript> for TorchScriptConfig {
    type Error = String;

    fn try_from(raw: RawTorchScript) -> Result<Self, String> {
        let source = Source::new(&raw.file, &raw.source);
        let module = parse(&source, raw.module, &raw.settings).map_err(|fault| source.message(&fault))?;
        check_archive(&module.path).map_err(|text| source.message(&Fault::whole(text)))?;
        Ok(Self { module: Some(Arc::new(module)) })
    }
}

impl JsonSchema for TorchScriptConfig {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "TorchScriptConfig".into()
    }
    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        RawTorchScript::json_schema(generator)
    }
}

fn parse(source: &Source, path: String, settings: &Map<String, Value>) -> Result<Module, Fault> {
    let table = header::toml(source)?;
    let root = Reader::new(&table, "a module's file");
    root.refuse_other_keys(&["blueprint", "module"])?;
    let header = Header::read(&root)?;
    header::parameters(&root, settings)?;
    let mut channels = None;
    let (mut add, mut scale, mut gain) = (true, None, None);
    if let Some((table, _)) = root.table("module")? {
        let reader = Reader::new(table, "[module]");
        reader.refuse_other_keys(&["channels", "residual", "scale", "gain"])?;
        channels = reader.whole("channels")?;
        if let Some(few) = channels.as_ref().filter(|channels| channels.value < 1) {
            return Err(Fault::at(&few.at, format!("`channels` is {}; it must be at least 1", few.value)));
        }
        add = reader.word("residual", &RESIDUAL)? != Some("none");
        scale = reader.flag("scale")?;
        gain = reader.number("gain")?;
        if let (Some(false), Some(_), Some((_, at))) = (scale, gain, reader.entry("gain")) {
            return Err(Fault::at(
                &at,
                "`gain` is the value at birth of a gain, which `scale = false` turns off; remove one of them",
            ));
        }
    }
    // By default the module is a branch with a gain of 0 at birth; with `residual = "none"` it has no gain.
    let scaled = scale.unwrap_or(add || gain.is_some());
    let mix = Mix { add, gain: scaled.then(|| gain.unwrap_or(0.0)) };
    if let Some(at) = header.declares("identity_at_birth").filter(|_| mix.gain != Some(0.0)) {
        let text = "a module is the identity at birth only with a gain of 0; write `scale = true` and `gain = 0.0` in \
                    [module], or remove the capability";
        return Err(Fault::at(at, text));
    }
    Ok(Module { source: source.clone(), header, path, channels, mix })
}

/// Checks what is possible without torch: that the file is a zip archive with an end record.
fn check_archive(path: &str) -> Result<(), String> {
    let bytes = fs::read(path).map_err(|error| format!("the module {path} cannot be read: {error}"))?;
    if !bytes.starts_with(b"PK\x03\x04") {
        return Err(format!("{path} is not a TorchScript module; save one with torch.jit.save"));
    }
    // The end record is within this many bytes of the end of the file.
    let tail = &bytes[bytes.len().saturating_sub(22 + 0xffff)..];
    if tail.windows(4).any(|four| four == b"PK\x05\x06") {
        return Ok(());
    }
    Err(format!("the module {path} is cut off; copy or save it again"))
}

/// A loaded module.
enum Loaded {
    /// Run by the host process. Parameters and buffers are variables of the seed.
    Service(Box<dyn Script>),
    /// Run by tch, if the host process does not offer the service: only parameters are variables. With the
    /// mode that was set last.
    Tch(TrainableCModule, Option<Mode>),
}

impl Loaded {
    fn new(module: &Module, bytes: &[u8], vars: &nn::Path<'_>) -> Result<Self> {
        let below = vars.sub("module");
        let Some(script) = services::script(bytes, vars.device()) else {
            let loaded = TrainableCModule::load_data(&mut &*bytes, below);
            return Ok(Self::Tch(loaded.map_err(|error| module.refused(error))?, None));
        };
        let script = script.map_err(|error| module.refused_for(&error.message))?;
        for (name, tensor) in script.variables()? {
            let learns = tensor.requires_grad();
            let _ = below.add(&name.replace('.', "_"), tensor, learns);
        }
        Ok(Self::Service(script))
    }

    fn forward(&mut self, x: &Tensor, mode: Mode) -> Result<Tensor> {
        match self {
            Self::Service(script) => script.forward(x, mode.is_train()),
            Self::Tch(module, last) => {
                if *last != Some(mode) {
                    match mode {
                        Mode::Train => module.f_set_train()?,
                        Mode::Eval => module.f_set_eval()?,
                    }
                    *last = Some(mode);
                }
                Ok(module.forward_ts(&[x])?)
            }
        }
    }
}

/// Blueprint that interprets TorchScript modules. It contains no tensors.
#[derive(Debug)]
pub struct TorchScript;

impl Blueprint for TorchScript {
    // torch's interpreter compiles while it runs, which cannot be captured.
    const INFO: EntryInfo =
        EntryInfo::new("torchscript", "a TorchScript module").capabilities(&[Capability::NotCapturable]);
    type Config = TorchScriptConfig;

    fn build(vars: &nn::Path<'_>, site: &Site, config: TorchScriptConfig) -> Result<Box<dyn Seed>> {
        let Some(module) = config.module else {
            let text = "`torchscript` needs a module: give `file`, `source` and `module`, or put NAME.pt with \
                        NAME.pt.toml into a plugin directory";
            return Err(PluginError::config(text));
        };
        module.fits(site)?;
        let bytes = module.bytes()?;
        module.check_names(&bytes, vars)?;
        let loaded = Loaded::new(&module, &bytes, vars)?;
        let mixer = Mixer::new(vars, module.mix)?;
        Ok(Box::new(TorchScriptSeed { module: loaded, mixer }))
    }
}

impl Module {
    fn fits(&self, site: &Site) -> Result<()> {
        let id = &self.header.id;
        if !self.header.serves(site.topology().as_str()) {
            let (served, topology) = (self.header.served(), site.topology());
            let text = format!("{}: `{id}` serves {served}, not `{topology}`", self.source.file());
            return Err(PluginError::unsupported(text));
        }
        match &self.channels {
            Some(channels) if channels.value != site.channels() => {
                let text = format!("`{id}` serves {} channels, not {}", channels.value, site.channels());
                Err(PluginError::unsupported(self.source.message(&Fault::at(&channels.at, text))))
            }
            _ => Ok(()),
        }
    }

    fn bytes(&self) -> Result<Vec<u8>> {
        fs::read(&self.path).map_err(|error| {
            let text = format!("the module {} cannot be read: {error}", self.path);
            PluginError::config(self.source.message(&Fault::whole(text)))
        })
    }

    /// Converts an error of libtorch, without its backtrace.
    fn refused(&self, error: tch::TchError) -> PluginError {
        self.refused_for(&PluginError::from(error).message)
    }

    fn refused_for(&self, reason: &str) -> PluginError {
        let words: Vec<&str> = reason.split_whitespace().collect();
        let reason: String = words.join(" ").chars().take(200).collect();
        let text = format!("cannot load {} as a TorchScript module: {reason}", self.path);
        PluginError::config(self.source.message(&Fault::whole(text)))
    }

    /// Refuses parameters that would get the same variable name: names of variables cannot contain points,
    /// so tch replaces them by `_`, and it would rename a duplicate.
    fn check_names(&self, mut bytes: &[u8], vars: &nn::Path<'_>) -> Result<()> {
        let module = CModule::load_data_on_device(&mut bytes, vars.device());
        let named =
            module.and_then(|module| module.named_parameters()).map_err(|error| self.refused(error))?;
        let mut taken: BTreeMap<String, String> = BTreeMap::new();
        for (name, _) in named {
            if let Some(other) = taken.insert(name.replace('.', "_"), name.clone()) {
                let text = format!(
                    "the parameters `{other}` and `{name}` of the module would get the same name; rename one"
                );
                return Err(PluginError::config(self.source.message(&Fault::whole(text))));
            }
        }
        Ok(())
    }
}

/// A seed that was built from a TorchScript module.
struct TorchScriptSeed {
    module: Loaded,
    mixer: Mixer,
}

impl Seed for TorchScriptSeed {
    fn forward(&mut self, x: &Tensor, cx: &Cx<'_>) -> Result<Tensor> {
        let made = self.module.forward(x, cx.mode())?;
        if made.size() != x.size() {
            let text = format!(
                "the module returned {:?} for {:?}; a seed must keep the shape",
                made.size(),
                x.size()
            );
            return Err(PluginError::contract(text));
        }
        self.mixer.mix(x, made)
    }
}

kasmina_plugin_api::register_blueprint!(TorchScript);
