//! Compatibility of minor versions of the plugin interface, with real libraries. The plugin API is also built
//! as 1.2, with an additional method and root function, and as 1.0, without the additions of 1.1; plugins and
//! hosts of different versions are combined.

mod edits;
mod sources;

use edits::{ADDITIONS, LAST_REMOVAL, REMOVALS};
use kasmina_plugin_api::{Cx, Kind, Mode, Site, Topology};
use kasmina_registry::{Policy, Registry, RegistryError, Rule};
use kasmina_tests::files::copy_tree;
use kasmina_tests::fixture;
use sources::{HOST, NEWER};
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
