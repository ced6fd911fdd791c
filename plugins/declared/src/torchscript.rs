//! The blueprint `torchscript`: a module that PyTorch has saved, with a document beside it.

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

/// The configuration as it is written: the document, and where the module lies.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawTorchScript {
    /// What messages call the document.
    pub file: String,
    /// The text of a `NAME.pt.toml`.
    pub source: String,
    /// A path under which the module can be opened.
    pub module: String,
    /// Values for the document's parameters, of which it has none.
    #[serde(default)]
    pub settings: Map<String, Value>,
}

/// The configuration of `torchscript`. By default there is no module, and nothing can be built.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(try_from = "RawTorchScript")]
pub struct TorchScriptConfig {
    module: Option<Arc<Module>>,
}

/// A document that was understood.
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
        let module = understand(&source, raw.module, &raw.settings).map_err(|fault| source.tell(&fault))?;
        looks_whole(&module.path).map_err(|text| source.tell(&Fault::whole(text)))?;
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

fn understand(source: &Source, path: String, settings: &Map<String, Value>) -> Result<Module, Fault> {
    let table = header::toml(source)?;
    let root = Reader::new(&table, "a module's file");
    root.only(&["blueprint", "module"])?;
    let header = Header::read(&root)?;
    header::parameters(&root, settings)?;
    let mut channels = None;
    let (mut add, mut scale, mut gain) = (true, None, None);
    if let Some((table, _)) = root.table("module")? {
        let reader = Reader::new(table, "[module]");
        reader.only(&["channels", "residual", "scale", "gain"])?;
        channels = reader.whole("channels")?;
        if let Some(few) = channels.as_ref().filter(|channels| channels.value < 1) {
            return Err(Fault::at(&few.at, format!("`channels` is {}; it must be at least 1", few.value)));
        }
        add = reader.word("residual", &RESIDUAL)? != Some("none");
        scale = reader.flag("scale")?;
        gain = reader.number("gain")?;
        if let (Some(false), Some(_), Some((_, at))) = (scale, gain, reader.entry("gain")) {
            return Err(Fault::at(&at, "`gain` is the value at birth of what `scale = false` leaves out"));
        }
    }
    // Whoever says nothing gets a branch that is nothing at birth; whoever says "none" gets the module
    // itself.
    let scaled = scale.unwrap_or(add || gain.is_some());
    let mix = Mix { add, gain: scaled.then(|| gain.unwrap_or(0.0)) };
    if let Some(at) = header.declares("identity_at_birth").filter(|_| mix.gain != Some(0.0)) {
        let text = "without a gain of 0 a module is not known to be the identity at birth; write `scale = true` and \
                    `gain = 0.0` in [module], or take the capability away";
        return Err(Fault::at(at, text));
    }
    Ok(Module { source: source.clone(), header, path, channels, mix })
}

/// What can be seen of a module's file without torch: it is a zip archive, and its end is there.
fn looks_whole(path: &str) -> Result<(), String> {
    let bytes = fs::read(path).map_err(|error| format!("the module {path} cannot be read: {error}"))?;
    if !bytes.starts_with(b"PK\x03\x04") {
        return Err(format!("{path} is no TorchScript module; save one with torch.jit.save"));
    }
    // The archive's directory ends within this many bytes of the file's end.
    let tail = &bytes[bytes.len().saturating_sub(22 + 0xffff)..];
    if tail.windows(4).any(|four| four == b"PK\x05\x06") {
        return Ok(());
    }
    Err(format!("the module {path} is cut off; copy or save it again"))
}

/// A module that can be called.
enum Loaded {
    /// Held by the host process, which names its buffers too: they are variables of the seed like its
    /// parameters.
    Held(Box<dyn Script>),
    /// Held here, with parameters alone as variables, where the host process cannot; and the mode that it was
    /// put into last.
    Plain(TrainableCModule, Option<Mode>),
}

impl Loaded {
    fn new(module: &Module, bytes: &[u8], vars: &nn::Path<'_>) -> Result<Self> {
        let below = vars.sub("module");
        let Some(script) = services::script(bytes, vars.device()) else {
            let loaded = TrainableCModule::load_data(&mut &*bytes, below);
            return Ok(Self::Plain(loaded.map_err(|error| module.refused(error))?, None));
        };
        let script = script.map_err(|error| module.refused_for(&error.message))?;
        for (name, tensor) in script.variables()? {
            let learns = tensor.requires_grad();
            let _ = below.add(&name.replace('.', "_"), tensor, learns);
        }
        Ok(Self::Held(script))
    }

    fn forward(&mut self, x: &Tensor, mode: Mode) -> Result<Tensor> {
        match self {
            Self::Held(script) => script.forward(x, mode.is_train()),
            Self::Plain(module, last) => {
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

/// The interpreter of TorchScript modules. It holds no tensor.
#[derive(Debug)]
pub struct TorchScript;

impl Blueprint for TorchScript {
    // Its interpreter compiles while it runs.
    const INFO: EntryInfo =
        EntryInfo::new("torchscript", "a TorchScript module").capabilities(&[Capability::NotCapturable]);
    type Config = TorchScriptConfig;

    fn build(vars: &nn::Path<'_>, site: &Site, config: TorchScriptConfig) -> Result<Box<dyn Seed>> {
        let Some(module) = config.module else {
            let text = "`torchscript` needs a module: give `file`, `source` and `module`, or put NAME.pt with \
                        NAME.pt.toml where plugins are looked for";
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
                Err(PluginError::unsupported(self.source.tell(&Fault::at(&channels.at, text))))
            }
            _ => Ok(()),
        }
    }

    fn bytes(&self) -> Result<Vec<u8>> {
        fs::read(&self.path).map_err(|error| {
            let text = format!("the module {} cannot be read: {error}", self.path);
            PluginError::config(self.source.tell(&Fault::whole(text)))
        })
    }

    /// Torch's own words, without its trace.
    fn refused(&self, error: tch::TchError) -> PluginError {
        self.refused_for(&PluginError::from(error).message)
    }

    fn refused_for(&self, words: &str) -> PluginError {
        let words: Vec<&str> = words.split_whitespace().collect();
        let words: String = words.join(" ").chars().take(200).collect();
        let text = format!("{} is no TorchScript module that can be loaded: {words}", self.path);
        PluginError::config(self.source.tell(&Fault::whole(text)))
    }

    /// A variable's name cannot have points; tch makes `_` of them, and would rename what then has a name
    /// that is taken.
    fn check_names(&self, mut bytes: &[u8], vars: &nn::Path<'_>) -> Result<()> {
        let module = CModule::load_data_on_device(&mut bytes, vars.device());
        let named =
            module.and_then(|module| module.named_parameters()).map_err(|error| self.refused(error))?;
        let mut taken: BTreeMap<String, String> = BTreeMap::new();
        for (name, _) in named {
            if let Some(other) = taken.insert(name.replace('.', "_"), name.clone()) {
                let text = format!(
                    "the parameters `{other}` and `{name}` of the module would have one name; rename one"
                );
                return Err(PluginError::config(self.source.tell(&Fault::whole(text))));
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
            let text = format!("the module made {:?} of {:?}; a seed keeps the shape", made.size(), x.size());
            return Err(PluginError::contract(text));
        }
        self.mixer.mix(x, made)
    }
}

kasmina_plugin_api::register_blueprint!(TorchScript);
