//! Loading plugins: which files are accepted, which are refused and why, and how names are resolved.

use kasmina_plugin_api::record::{self, Record};
use kasmina_plugin_api::{Kind, Mode, Site, TapHandler, Topology};
use kasmina_registry::{Manifest, Origin, Policy, Registry, RegistryError, Rule, SearchPath, Skipped};
use kasmina_tests::{built, cargo, fixture, registry, run, shipped};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use tch::{Device, Kind as Dtype, Tensor};

fn load(files: &[PathBuf]) -> Result<Registry, RegistryError> {
    let mut path = SearchPath::empty();
    path.extend(files.iter().cloned(), Origin::Named);
    Registry::load(&path, &Policy::embedded())
}

fn refusal(file: &Path) -> (Rule, String) {
    match load(&[file.to_owned()]).unwrap_err() {
        RegistryError::Refused(refusal) => (refusal.rule, refusal.found),
        other => panic!("{other}"),
    }
}

/// Writes a copy of a plugin with bytes of its record replaced by as many others.
fn patched(dir: &Path, from: &str, to: &str) -> PathBuf {
    assert_eq!(from.len(), to.len());
    let mut bytes = std::fs::read(fixture("twin")).unwrap();
    let places: Vec<usize> = bytes
        .windows(from.len())
        .enumerate()
        .filter(|(_, w)| *w == from.as_bytes())
        .map(|(i, _)| i)
        .collect();
    assert!(!places.is_empty(), "{from} is not in the record");
    for at in places {
        bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
    }
    let path = dir.join("patched.so");
    std::fs::write(&path, bytes).unwrap();
    path
}

#[test]
fn the_listing_is_sorted_and_complete() {
    let mut listing = registry(&["gated", "dropout", "twin"]).listing();
    for entry in &mut listing.entries {
        entry.path = entry.path.as_ref().and_then(|p| p.file_name()).map(PathBuf::from);
        entry.generation = entry.generation.as_ref().map(|_| "[hash]".to_owned());
    }
    insta::assert_json_snapshot!(listing);
}

#[test]
fn records_are_read_without_opening_the_library() {
    let manifest = Manifest::read(&fixture("dropout")).unwrap();
    assert_eq!(manifest.plugin.name, "fixture_dropout");
    assert_eq!(manifest.plugin.torch, kasmina_plugin_api::TORCH_VERSION);
    assert_eq!(manifest.plugin.panic, "unwind");
    let entries: Vec<_> = manifest.entries.iter().map(|e| (e.kind.as_str(), e.id.as_str())).collect();
    assert_eq!(entries, [("blueprint", "dropout"), ("blueprint", "secret_dropout")]);
    assert_eq!(manifest.entries[0].capabilities, ["stochastic"]);
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    assert!(!maps.contains("fixture_dropout"), "the library is mapped");
}

#[test]
fn each_mismatch_is_refused_by_its_rule() {
    let dir = tempfile::tempdir().unwrap();
    let torch = format!("\"torch\":\"{}\"", kasmina_plugin_api::TORCH_VERSION);
    let other = torch.replace("2.11", "2.10");
    let (rule, found) = refusal(&patched(dir.path(), &torch, &other));
    assert_eq!(
        (rule, found.as_str()),
        (Rule::Torch, "it was built against torch 2.10.0, this program runs torch 2.11.0")
    );
    assert_eq!(refusal(&patched(dir.path(), "\"abi\":\"1.", "\"abi\":\"2.")).0, Rule::Abi);
    assert_eq!(refusal(&patched(dir.path(), "\"host\":\"*\"", "\"host\":\"9\"")).0, Rule::Host);
    assert_eq!(
        refusal(&patched(dir.path(), "x86_64-unknown-linux-gnu", "riscv64gc-unknown-linux-")).0,
        Rule::Target
    );
    assert_eq!(refusal(&patched(dir.path(), "\"kind\":\"blend\"", "\"kind\":\"trend\"")).0, Rule::Names);
    assert_eq!(refusal(&patched(dir.path(), "\"id\":\"linear\"", "\"id\":\"lin::r\"")).0, Rule::Names);
    assert_eq!(refusal(&patched(dir.path(), "\"id\":\"linear\"", "\"id\":\"lineas\"")).0, Rule::Listing);
    assert_eq!(refusal(&patched(dir.path(), "{\"rec\":\"plugin\"", "{\"rec\":\"plugxn\"")).0, Rule::Records);
}

#[test]
fn a_file_cut_anywhere_is_refused_before_it_is_opened() {
    let dir = tempfile::tempdir().unwrap();
    let whole = std::fs::read(fixture("twin")).unwrap();
    let path = dir.path().join("cut.so");
    std::fs::write(&path, &whole).unwrap();
    // Shortened page by page, which needs no second write.
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    let pages = (0..whole.len()).step_by(4 * 1024).rev();
    for size in [whole.len() - 1].into_iter().chain(pages).chain([63, 1]) {
        file.set_len(size as u64).unwrap();
        let (rule, found) = refusal(&path);
        assert_eq!(rule, Rule::SharedLibrary, "{size}: {found}");
    }
}

#[test]
fn files_of_a_folder_that_are_no_plugins_are_skipped_and_reported() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("notes.so"), "this is a text").unwrap();
    std::fs::write(dir.path().join("notes.txt"), "so is this").unwrap();
    std::fs::create_dir(dir.path().join("folder.so")).unwrap();
    patched(dir.path(), "\"abi\":\"1.", "\"abi\":\"2.");
    std::fs::copy(fixture("gated"), dir.path().join("gated.so")).unwrap();
    std::fs::copy(fixture("gated"), dir.path().join("same_again.so")).unwrap();
    let registry = load(&[dir.path().to_owned()]).unwrap();
    assert!(registry.resolve(Kind::Blend, "gate_net").is_ok());
    let skipped = registry.skipped();
    let skipped: Vec<_> = skipped
        .iter()
        .map(|s| match s {
            Skipped::Refused(r) => (r.path.file_name().unwrap().to_str().unwrap(), r.rule),
            other => panic!("{other:?}"),
        })
        .collect();
    let expected =
        [("folder.so", Rule::Readable), ("notes.so", Rule::SharedLibrary), ("patched.so", Rule::Abi)];
    assert_eq!(skipped, expected);
}

#[test]
fn another_build_of_a_loaded_plugin_is_shadowed() {
    let dir = tempfile::tempdir().unwrap();
    let second = dir.path().join("other_build.so");
    let mut bytes = std::fs::read(fixture("gated")).unwrap();
    bytes.push(0);
    std::fs::write(&second, bytes).unwrap();
    let registry = load(&[fixture("gated"), second.clone()]).unwrap();
    assert!(matches!(&registry.skipped()[0], Skipped::Shadowed { path, name, .. }
        if *path == second && name == "fixture_gated"));
}

#[test]
fn one_id_from_two_plugins_is_ambiguous_and_full_names_are_not() {
    let registry = registry(&["twin"]);
    let error = registry.resolve(Kind::Blend, "linear").unwrap_err();
    assert_eq!(error.help().unwrap(), "use a full name: fixture_twin::linear or kasmina_blends::linear");
    for name in ["fixture_twin::linear", "kasmina_blends::linear", "core::linear"] {
        assert_eq!(registry.resolve(Kind::Blend, name).unwrap().full_name(), name);
    }
    assert!(registry.resolve(Kind::Blend, "kasmina_blends::sine").is_err());
    assert!(registry.resolve(Kind::Host, "linear").is_err());
    let alone = Registry::built_in().unwrap();
    assert_eq!(alone.resolve(Kind::Blend, "linear").unwrap().full_name(), "core::linear");
}

/// `norm` exists for both topologies: the slot's topology decides, and without one the bare id is ambiguous.
#[test]
fn an_id_of_both_topologies_is_resolved_by_the_slot() {
    let registry = registry(&["twin"]);
    let of = |id: &str, topology| registry.resolve_for(Kind::Blueprint, id, topology).map(|e| e.full_name());
    assert_eq!(of("norm", Topology::CNN).unwrap(), "kasmina_blueprints_cnn::norm");
    assert_eq!(of("norm", Topology::TRANSFORMER).unwrap(), "kasmina_blueprints_transformer::norm");
    for topology in [Topology::CNN, Topology::TRANSFORMER] {
        assert_eq!(of("kasmina_blueprints_cnn::norm", topology).unwrap(), "kasmina_blueprints_cnn::norm");
        assert_eq!(of("noop", topology).unwrap(), "core::noop");
        // An id of one plugin only resolves to it, also for a topology that it refuses.
        assert_eq!(of("mlp", topology).unwrap(), "kasmina_blueprints_transformer::mlp");
        let both_serve = registry.resolve_for(Kind::Blend, "linear", topology).unwrap_err();
        assert_eq!(
            both_serve.help().unwrap(),
            "use a full name: fixture_twin::linear or kasmina_blends::linear"
        );
    }
    let help = of("norm", Topology::new("graph")).unwrap_err().help().unwrap();
    assert_eq!(help, "use a full name: kasmina_blueprints_cnn::norm or kasmina_blueprints_transformer::norm");
    assert_eq!(registry.resolve(Kind::Blueprint, "norm").unwrap_err().help().unwrap(), help);
}

#[test]
fn a_plugin_that_aborts_on_panic_is_refused() {
    built();
    // The same source, built with a panic strategy that the registry refuses.
    let mut rustc = cargo("rustc");
    rustc.args(["-p", "kasmina-tests", "--example", "fixture_abort", "--target-dir"]);
    let target = built().parent().unwrap();
    rustc.arg(target).args(["--", "-C", "panic=abort"]);
    run(rustc);
    let error = load(&[fixture("abort")]).unwrap_err();
    let text = format!("{error}\n{}", error.help().unwrap());
    insta::assert_snapshot!(text.replace(&*built().to_string_lossy(), "[BUILT]"));
}

/// The store of several ranks is not authenticated, so a policy that allows unsigned files does not apply.
#[test]
fn bytes_that_another_process_has_sent_must_be_signed_or_pinned() {
    let registry = registry(&[]);
    let path = fixture("gated");
    registry.stage(&path).unwrap();
    let RegistryError::Refused(refusal) = registry.stage_received(&path).unwrap_err() else {
        panic!("it is no refusal")
    };
    assert_eq!(refusal.rule, Rule::Trust, "{refusal:?}");
}

#[test]
fn a_host_that_breaks_a_rule_is_refused_by_name() {
    let registry = registry(&["ill_hosts"]);
    let x = Tensor::randn([4, 1, 6, 6], (Dtype::Float, Device::Cpu));
    let mut told = String::new();
    for host in ["plain", "skips_a_slot", "wrong_order", "mixes_samples", "swallows", "panics"] {
        let config = kasmina::ModelConfig {
            host: host.into(),
            slots: vec!["a".into(), "b".into()],
            ..kasmina::ModelConfig::default()
        };
        let line = match kasmina::MorphogeneticModel::build(&registry, &config, &x) {
            Ok(mut model) => {
                let shape = tch::no_grad(|| model.forward(&x, Mode::Eval)).map(|y| y.size());
                format!("{shape:?}")
            }
            Err(e) => e.to_string(),
        };
        let _ = writeln!(told, "{host}: {line}");
    }
    insta::assert_snapshot!(told);
}

#[test]
fn a_failing_tap_is_an_error_of_the_host_s_forward() {
    struct Fails;
    impl TapHandler for Fails {
        fn at(&mut self, slot: usize, _: Tensor) -> kasmina_plugin_api::Result<Tensor> {
            if slot == 0 {
                panic!("a bug of the core")
            } else {
                Err(kasmina_plugin_api::PluginError::other("no"))
            }
        }
    }
    let registry = registry(&["ill_hosts"]);
    let x = Tensor::randn([2, 1, 6, 6], (Dtype::Float, Device::Cpu));
    let mut host = registry.resolve(Kind::Host, "plain").unwrap().make_host(Device::Cpu, "").unwrap();
    let error = host.forward(&x, Mode::Train, &mut Fails).unwrap_err();
    assert!(error.message.contains("a bug of the core"), "{error}");
    let mut swallows = registry.resolve(Kind::Host, "swallows").unwrap().make_host(Device::Cpu, "").unwrap();
    assert!(
        swallows.forward(&x, Mode::Train, &mut Fails).is_ok(),
        "the host swallows the error; the core reports it from its own record of taps"
    );
}

#[test]
fn gate_and_state_cross_the_plugin_interface() {
    let registry = registry(&["gated"]);
    let site = Site::new(Topology::CNN, 5);
    let mut gated =
        registry.resolve(Kind::Blend, "gate_net").unwrap().make_blend(&site, r#"{"hidden": 3}"#).unwrap();
    let names: Vec<_> = gated.variables().unwrap().into_iter().map(|v| (v.name, v.trainable)).collect();
    assert_eq!(
        names,
        ["first.bias", "first.weight", "second.bias", "second.weight"].map(|n| (n.to_owned(), true))
    );
    let x = Tensor::randn([2, 5, 4, 4], (Dtype::Float, Device::Cpu));
    let cx = kasmina_plugin_api::Cx::new(Mode::Train, 0, "a");
    let gate = gated.gate(&x, &cx).unwrap().unwrap();
    assert_eq!(gate.size(), [2, 1, 1, 1]);
    assert!(gate.requires_grad(), "the gate is differentiable");
    assert_eq!(gated.state().unwrap(), 1_u64.to_le_bytes());
    gated.restore(&41_u64.to_le_bytes(), 1).unwrap();
    gated.gate(&x, &cx).unwrap();
    assert_eq!(gated.state().unwrap(), 42_u64.to_le_bytes());
    assert!(gated.restore(&[1, 2, 3], 1).is_err());
    let bad = registry.resolve(Kind::Blend, "gate_net").unwrap().make_blend(&site, r#"{"hiden": 3}"#);
    let text = bad.unwrap_err().to_string();
    assert!(text.contains("unknown field `hiden`, expected `hidden`"), "{text}");
    assert!(kasmina_registry::services::take_metrics()["fixture_gated/gate_calls"] >= 1.0);
}

#[test]
fn a_record_s_frame_is_found_in_the_file() {
    let bytes = std::fs::read(shipped("kasmina_hosts")).unwrap();
    let at = bytes.windows(8).position(|w| w == record::MAGIC).unwrap();
    let length = u32::from_le_bytes(bytes[at + 8..at + 12].try_into().unwrap()) as usize;
    let records = record::read(&bytes[at..at + 12 + length]).unwrap();
    assert!(matches!(&records[..], [Record::Entry(_) | Record::Plugin(_)]));
}
