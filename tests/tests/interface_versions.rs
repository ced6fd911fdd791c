//! Compatibility of minor versions of the plugin interface, with real libraries. The plugin API is also built
//! as 1.2, with an additional method and root function, and as 1.0, without the additions of 1.1; plugins and
//! hosts of different versions are combined.

use kasmina_plugin_api::{Cx, Kind, Mode, Site, Topology};
use kasmina_registry::{Policy, Registry, RegistryError, Rule};
use kasmina_tests::files::copy_tree;
use kasmina_tests::fixture;
use std::path::{Path, PathBuf};
use std::process::Command;
use tch::{Device, Kind as Dtype, Tensor};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// A source tree with another version of the plugin API, and a plugin and a host built against it.
struct Tree(tempfile::TempDir);

impl Tree {
    fn new(version: &str, edits: &[(&str, &str, &str)]) -> Self {
        Self::with_host(version, edits, HOST)
    }

    fn with_host(version: &str, edits: &[(&str, &str, &str)], host: &str) -> Self {
        let tree = Self(tempfile::tempdir().unwrap());
        copy_tree(&Path::new(ROOT).join("plugin-api"), &tree.path("plugin-api"));
        tree.edit("plugin-api/Cargo.toml", "version = \"1.1.0\"", &format!("version = \"{version}\""));
        for (file, from, to) in edits {
            tree.edit(&format!("plugin-api/src/abi/{file}"), from, to);
        }
        // The same features and profiles as here, so that the libtorch shim is not compiled again.
        let text = std::fs::read_to_string(Path::new(ROOT).join("Cargo.toml")).unwrap();
        let mut manifest: toml::Table = text.parse().unwrap();
        let workspace = manifest["workspace"].as_table_mut().unwrap();
        let members = ["plugin-api", "newer", "host"].map(toml::Value::from).to_vec();
        workspace.insert("members".into(), members.into());
        workspace.remove("default-members");
        std::fs::write(tree.path("Cargo.toml"), manifest.to_string()).unwrap();
        std::fs::copy(Path::new(ROOT).join("Cargo.lock"), tree.path("Cargo.lock")).unwrap();
        tree.package("newer", "[lib]\ncrate-type = [\"cdylib\"]\n", "src/lib.rs", NEWER);
        tree.package("host", "", "src/main.rs", host);
        tree
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn edit(&self, name: &str, from: &str, to: &str) {
        let text = std::fs::read_to_string(self.path(name)).unwrap();
        assert!(text.contains(from), "{name} has no `{from}`");
        std::fs::write(self.path(name), text.replacen(from, to, 1)).unwrap();
    }

    fn package(&self, name: &str, more: &str, file: &str, source: &str) {
        let manifest = format!(
            "[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n{more}\
             [dependencies]\nkasmina-plugin-api = {{ path = \"../plugin-api\" }}\nlibloading.workspace = true\n"
        );
        std::fs::create_dir_all(self.path(name).join("src")).unwrap();
        std::fs::write(self.path(name).join("Cargo.toml"), manifest).unwrap();
        std::fs::write(self.path(name).join(file), source).unwrap();
    }

    /// Builds one package and returns the folder of the build.
    fn build(&self, package: &str) -> PathBuf {
        // The workspace's own target folder, so that common dependencies are not built again.
        let exe = std::env::current_exe().unwrap();
        let target = exe.ancestors().nth(3).unwrap();
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--quiet", "-p", package]).current_dir(self.0.path());
        cargo.env("CARGO_TARGET_DIR", target);
        let out = cargo.output().unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        target.join("debug")
    }
}

/// Edits that make 1.2, as (file, from, to): a new method of seeds, and a new function of the root.
const ADDITIONS: [(&str, &str, &str); 6] = [
    (
        "objects.rs",
        "    fn restore(&mut self, bytes: RSlice<'_, u8>, from_version: u32) -> Wire<()>;\n}\npub type SeedBox",
        "    fn restore(&mut self, bytes: RSlice<'_, u8>, from_version: u32) -> Wire<()>;\n    \
         fn mood(&self) -> u32 { 7 }\n}\npub type SeedBox",
    ),
    (
        "adapt.rs",
        "impl SeedObject for Instance<Box<dyn Seed>> {",
        "impl SeedObject for Instance<Box<dyn Seed>> {\n    fn mood(&self) -> u32 { 42 }",
    ),
    (
        "live.rs",
        "impl SeedInstance {",
        "impl SeedInstance {\n    pub fn mood(&self) -> u32 { self.0.mood() }",
    ),
    (
        "root.rs",
        "-> Wire<ROption<RString>>,\n}",
        "-> Wire<ROption<RString>>,\n    \
         #[sabi(missing_field(option))]\n    pub greet: extern \"C\" fn() -> u32,\n}\nextern \"C\" fn greet() -> u32 { 11 }",
    ),
    ("root.rs", "make_host, pytorch }", "make_host, pytorch, greet }"),
    (
        "adopt.rs",
        "impl Plugin {",
        "impl Plugin {\n    pub fn greet(&self) -> Option<u32> { self.0.greet().map(|greet| greet()) }",
    ),
];

/// Edits that make 1.0: the additions of 1.1 removed.
const REMOVALS: [(&str, &str, &str); 11] = [
    (
        "root.rs",
        "    /// Since 1.1.\n    #[sabi(missing_field(option))]\n    pub pytorch: extern \"C\" fn(RStr<'_>, RStr<'_>, \
         &WireSite<'_>, RStr<'_>) -> Wire<ROption<RString>>,\n",
        "",
    ),
    ("root.rs", "make_host, pytorch }", "make_host }"),
    (
        "adopt.rs",
        "        let Some(pytorch) = self.0.pytorch() else { return Ok(None) };",
        "        type Function =\n            extern \"C\" fn(RStr<'_>, RStr<'_>, &WireSite<'_>, RStr<'_>) -> super::wire::Wire<ROption<RString>>;\n        \
         use abi_stable::std_types::{ROption, RStr, RString};\n        \
         let none: Option<Function> = None;\n        let Some(pytorch) = none else { return Ok(None) };",
    ),
    (
        "objects.rs",
        "    // Since 1.1. `device` is -1 for the CPU, otherwise the number of the CUDA device.\n    \
         fn script(&self, _archive: RSlice<'_, u8>, _device: i64) -> ROption<Wire<ScriptBox>> {\n        ROption::RNone\n    }\n",
        "",
    ),
    (
        "services.rs",
        "    fn script(&self, archive: RSlice<'_, u8>, device: i64) -> ROption<Wire<ScriptBox>> {",
        "}\nimpl ExportedServices {\n    fn script(&self, archive: RSlice<'_, u8>, device: i64) -> ROption<Wire<ScriptBox>> {",
    ),
    (
        "services.rs",
        "self.0.script(archive.into(), device).into_option()?",
        "{ let _ = (archive, device); let none: Option<Wire<ScriptBox>> = None; none? }",
    ),
    (
        "objects.rs",
        "    // Since 1.1. Hosts of plugins that were built for 1.0 have no state but their variables, and no cache.\n    \
         fn state(&self) -> Wire<RVec<u8>> {\n        \
         Wire::ROk(RVec::new())\n    }\n    fn restore(&mut self, _bytes: RSlice<'_, u8>, _from_version: u32) -> Wire<()> \
         {\n        Wire::ROk(())\n    }\n    fn forward_cached(\n        &mut self,\n        _x: TensorRef<'_>,\n        \
         _past: i64,\n        _taps: TapSinkRef<'_>,\n    ) -> Wire<ROption<RawTensor>> {\n        \
         Wire::ROk(ROption::RNone)\n    }\n",
        "",
    ),
    (
        "adapt.rs",
        "    fn state(&self) -> Wire<RVec<u8>> {\n        to_wire(self.call_shared(|host| host.state()), RVec::from)\n    }\n    \
         fn restore(&mut self, bytes: RSlice<'_, u8>, from_version: u32) -> Wire<()> {\n        \
         to_wire(self.call(|host| host.restore(bytes.as_slice(), from_version)), |()| ())\n    }\n",
        "",
    ),
    // The method remains, but is no longer one of the interface.
    (
        "adapt.rs",
        "    fn forward_cached(\n        &mut self,\n        x: TensorRef<'_>,",
        "}\nimpl Instance<Box<dyn HostModule>> {\n    fn forward_cached(\n        &mut self,\n        x: TensorRef<'_>,",
    ),
    (
        "live.rs",
        "        let output = from_wire(self.object.forward_cached(TensorRef::new(x), past, sink))?;\n        \
         Ok(output.into_option().map(RawTensor::take))",
        "        let _ = (x, past, sink);\n        Ok(None)",
    ),
    (
        "live.rs",
        "        from_wire(self.object.state()).map(Into::into)\n    }\n",
        "        Ok(Vec::new())\n    }\n",
    ),
];
/// Removes the last use of the additions of 1.1.
const LAST_REMOVAL: (&str, &str, &str) = (
    "live.rs",
    "        from_wire(self.object.restore(bytes.into(), from_version))",
    "        let _ = (bytes, from_version);\n        Ok(())",
);

const NEWER: &str = r#"
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
const HOST: &str = r#"
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

fn run_host(host: &Path, plugin: &Path, symbol: &str, id: &str) -> String {
    let out = Command::new(host).arg(plugin).args([symbol, id]).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8_lossy(&out.stdout).into_owned()
}

/// Returns the count of the host `counting` after seven forwards, and checks that its state can be restored.
/// `None` if the host has no state.
fn state_of(registry: &Registry) -> Option<u64> {
    let entry = registry.resolve(Kind::Host, "counting").unwrap();
    let mut host = entry.make_host(Device::Cpu, "").unwrap();
    let x = Tensor::ones([2, 4], (Dtype::Float, Device::Cpu));
    for _ in 0..7 {
        let _ = host.forward(&x, Mode::Train, &mut NoTaps).unwrap();
    }
    let state = host.state().unwrap();
    let mut another = entry.make_host(Device::Cpu, "").unwrap();
    another.restore(&state, 1).unwrap();
    assert_eq!(another.state().unwrap(), state);
    (!state.is_empty()).then(|| u64::from_le_bytes(state.try_into().unwrap()))
}

/// Whether the host `counting` has a cache.
fn has_cache(registry: &Registry) -> bool {
    let mut host = registry.resolve(Kind::Host, "counting").unwrap().make_host(Device::Cpu, "").unwrap();
    let x = Tensor::from_slice2(&[[1_i64, 2, 3]]);
    let output = host.forward_cached(&x, 5, &mut NoTaps).unwrap();
    assert!(output.as_ref().is_none_or(|output| *output == Tensor::from_slice(&[8_i64])));
    output.is_some()
}

/// The PyTorch source of the blueprint `plain`.
fn source_of(registry: &Registry) -> Option<String> {
    let site = kasmina_plugin_api::Site::new(kasmina_plugin_api::Topology::CNN, 4);
    registry.resolve(Kind::Blueprint, "plain").unwrap().pytorch(Some(&site), "").unwrap()
}

struct NoTaps;

impl kasmina_plugin_api::TapHandler for NoTaps {
    fn at(&mut self, _: usize, x: Tensor) -> kasmina_plugin_api::Result<Tensor> {
        Ok(x)
    }
}

#[test]
fn old_and_new_minors_run_in_each_other_and_a_changed_type_is_refused() {
    let newer = Tree::new("1.2.0", &ADDITIONS);
    let built = newer.build("newer");
    let plugin = newer.path("libnewer.so");
    std::fs::copy(built.join("libnewer.so"), &plugin).unwrap();

    // A newer plugin in this host, which does not call the additions.
    let registry = Registry::built_in().unwrap();
    registry.load_file(&plugin).unwrap();
    let entry = registry.resolve(Kind::Blueprint, "plain").unwrap();
    let mut seed = entry.make_seed(&Site::new(Topology::CNN, 4), "").unwrap();
    let x = Tensor::ones([2, 4, 3, 3], (Dtype::Float, Device::Cpu));
    assert_eq!(seed.forward(&x, &Cx::new(Mode::Eval, 0, "here")).unwrap(), x);

    // A plugin of this version in a newer host: missing methods have defaults.
    let host = newer.build("host").join("host");
    let old = run_host(&host, &fixture("hostile"), "kasmina_plugin_fixture_hostile", "hostile");
    assert_eq!(old, "[\"hostile\"] same true greet None mood 7\n");
    let new = run_host(&host, &plugin, "kasmina_plugin_newer", "plain");
    assert_eq!(new, "[\"plain\", \"counting\"] same true greet Some(11) mood 42\n");
    assert_eq!(state_of(&registry), Some(7), "hosts have a state since 1.1");
    assert_eq!(source_of(&registry).as_deref(), Some("class Plain: ..."), "and its PyTorch source");
    assert!(has_cache(&registry), "and a cache");

    // A plugin of 1.0 in this host, whose hosts have no state; and a plugin of this version in a host of 1.0.
    let removals: Vec<_> = REMOVALS.into_iter().chain([LAST_REMOVAL]).collect();
    let plain = HOST.replace(" greet {:?} mood {}", "").replace(", plugin.greet(), seed.mood()", "");
    let older = Tree::with_host("1.0.0", &removals, &plain);
    let old = older.path("libolder.so");
    std::fs::copy(older.build("newer").join("libnewer.so"), &old).unwrap();
    let registry = Registry::built_in().unwrap();
    registry.load_file(&old).unwrap();
    assert_eq!(state_of(&registry), None);
    assert_eq!(source_of(&registry), None);
    assert!(!has_cache(&registry));
    let host_of_1_0 = older.build("host").join("host");
    let printed = run_host(&host_of_1_0, &fixture("hostile"), "kasmina_plugin_fixture_hostile", "hostile");
    assert_eq!(printed, "[\"hostile\"] same true\n");
    let printed = run_host(&host_of_1_0, &plugin, "kasmina_plugin_newer", "plain");
    assert_eq!(printed, "[\"plain\", \"counting\"] same true\n");
    // Built again, because the target folder contains the host that was built last.
    let host = newer.build("host").join("host");

    // A changed type is refused with a short message; the full report is written to a file.
    let changed = Tree::new(
        "1.2.0",
        &[
            ("wire.rs", "    pub trainable: bool,", "    pub trainable: u64,"),
            ("live.rs", "trainable: v.trainable,", "trainable: v.trainable != 0,"),
            ("wire.rs", "trainable: tensor.requires_grad()", "trainable: u64::from(tensor.requires_grad())"),
        ],
    );
    let plugin = changed.path("libchanged.so");
    std::fs::copy(changed.build("newer").join("libnewer.so"), &plugin).unwrap();
    let state = tempfile::tempdir().unwrap();
    let mut path = kasmina_registry::SearchPath::empty();
    path.extend([plugin.clone()], kasmina_registry::Origin::Named);
    let policy = Policy::embedded().with_state(state.path());
    let Err(RegistryError::Refused(refusal)) = Registry::load(&path, &policy) else {
        panic!("it is accepted")
    };
    assert_eq!(refusal.rule, Rule::Layout);
    assert!(refusal.found.len() < 1000, "{} bytes: {}", refusal.found.len(), refusal.found);
    let report = refusal.found.rsplit(' ').next().unwrap();
    assert!(std::fs::read_to_string(report).unwrap().len() > 5000, "{report}");
    let printed = run_host(&host, &plugin, "kasmina_plugin_newer", "plain");
    assert!(printed.starts_with("refused: its types are not compatible"), "{printed}");

    // Another major version is refused by its record.
    let major = Tree::new("2.0.0", &[]);
    let plugin = major.path("libmajor.so");
    std::fs::copy(major.build("newer").join("libnewer.so"), &plugin).unwrap();
    let Err(RegistryError::Refused(refusal)) = Registry::built_in().unwrap().load_file(&plugin) else {
        panic!("it is accepted")
    };
    assert_eq!(refusal.rule, Rule::Abi);
    insta::assert_snapshot!(refusal.found, @"it was built for plugin API 2.0.0, this program has 1.1.0; the major versions must be the same");
}
