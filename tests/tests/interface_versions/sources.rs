//! Sources of a plugin and of a host program.

/// Source of a plugin with a blueprint and a host.
pub(super) const NEWER: &str = r#"
use kasmina_plugin_api::prelude::*;

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(crate = "kasmina_plugin_api::serde")]
#[schemars(crate = "kasmina_plugin_api::schemars")]
pub struct NoConfig {}

pub struct Plain(Tensor);

impl Blueprint for Plain {
    const INFO: EntryInfo = EntryInfo::new("plain", "x + g * x");
    type Config = NoConfig;
    fn build(vars: &nn::Path<'_>, site: &Site, _: NoConfig) -> Result<Box<dyn Seed>> {
        Ok(Box::new(Self(vars.zeros("gain", &[1, site.channels(), 1, 1]))))
    }
    fn pytorch(_: &Site, _: &NoConfig) -> Option<String> {
        Some("class Plain: ...".to_owned())
    }
}

impl Seed for Plain {
    fn forward(&mut self, x: &Tensor, _: &Cx<'_>) -> Result<Tensor> {
        Ok(x.f_addcmul(x, &self.0)?)
    }
}

kasmina_plugin_api::register_blueprint!(Plain);

/// A host that counts its forwards in its state.
pub struct Counting(u64);

impl Host for Counting {
    const INFO: EntryInfo = EntryInfo::new("counting", "returns its input");
    type Config = NoConfig;
    fn build(_: &nn::Path<'_>, _: NoConfig) -> Result<Box<dyn HostModule>> {
        Ok(Box::new(Self(0)))
    }
}

impl HostModule for Counting {
    fn slots(&self) -> Vec<SlotSpec> {
        Vec::new()
    }
    fn forward(&mut self, x: &Tensor, _: &mut Taps<'_>) -> Result<Tensor> {
        self.0 += 1;
        Ok(x.shallow_clone())
    }
    fn forward_cached(&mut self, x: &Tensor, past: i64, _: &mut Taps<'_>) -> Result<Option<Tensor>> {
        Ok(Some(x.f_select(1, -1)?.f_add_scalar(past)?))
    }
    fn state(&self) -> Result<Vec<u8>> {
        Ok(self.0.to_le_bytes().to_vec())
    }
    fn restore(&mut self, bytes: &[u8], _: u32) -> Result<()> {
        let bytes = bytes.try_into().map_err(|_| PluginError::config("the state does not have eight bytes"))?;
        self.0 = u64::from_le_bytes(bytes);
        Ok(())
    }
}

kasmina_plugin_api::register_host!(Counting);
kasmina_plugin_api::export_plugin!();
"#;

/// Source of a minimal host program.
pub(super) const HOST: &str = r#"
use kasmina_plugin_api::abi::Plugin;
use kasmina_plugin_api::services::Services;
use kasmina_plugin_api::tch::{Device, Kind, Tensor};
use kasmina_plugin_api::tracing::Level;
use kasmina_plugin_api::{Cx, Mode, Result, Site, Topology};
use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};

struct Silent;
impl Services for Silent {
    fn enabled(&self, _: Level, _: &str) -> bool { false }
    fn event(&self, _: Level, _: &str, _: &str, _: &str) {}
    fn open_span(&self, _: Level, _: &str, _: &str, _: &str) -> u64 { 1 }
    fn enter_span(&self, _: u64) {}
    fn exit_span(&self, _: u64) {}
    fn clone_span(&self, _: u64) {}
    fn close_span(&self, _: u64) -> bool { true }
    fn metric(&self, _: &str, _: f64) {}
    fn cancelled(&self) -> bool { false }
    fn fused(&self, _: &str, _: &[&Tensor], _: &[f64]) -> Option<Result<Tensor>> { None }
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let library = unsafe { Library::open(Some(&args[1]), RTLD_NOW | RTLD_LOCAL) }.expect("the library opens");
    let symbol = unsafe { library.get::<*const std::ffi::c_void>(args[2].as_bytes()) }.expect("the library has the symbol");
    let plugin = match unsafe { Plugin::adopt(symbol.into_raw().cast_const()) } {
        Ok(plugin) => plugin,
        Err(error) => return println!("refused: {error}"),
    };
    std::mem::forget(library);
    plugin.init(Box::new(Silent)).expect("the plugin starts");
    let ids: Vec<String> = plugin.list().expect("the plugin lists its entries").into_iter().map(|l| l.record.id).collect();
    let site = Site::new(Topology::CNN, 4);
    let mut seed = plugin.make_seed(&args[3], &site, "").expect("the seed builds");
    let x = Tensor::ones([2, 4, 3, 3], (Kind::Float, Device::Cpu));
    let y = seed.forward(&x, &Cx::new(Mode::Eval, 0, "here")).expect("the forward succeeds");
    println!("{ids:?} same {} greet {:?} mood {}", y == x, plugin.greet(), seed.mood());
}
"#;
