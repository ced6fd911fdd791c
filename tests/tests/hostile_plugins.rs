//! Plugins that harm their process, and files that are no plugins. Builds are tried in a child process, so
//! that they cannot harm this one.

use kasmina_plugin_api::Kind;
use kasmina_registry::child::{Limits, Program};
use kasmina_registry::quarantine::Quarantine;
use kasmina_registry::{Origin, Policy, Refusal, Registry, RegistryError, Rule, SearchPath};
use kasmina_tests::behaviours::Hostile;
use kasmina_tests::builds::Builds;
use kasmina_tests::{built, fixture, shipped};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A policy that tries each build in a child process of the real binary, with its state in a folder.
fn probing_policy(folder: &Path) -> Policy {
    let program = Program::new(built().join("kasmina-alone/kasmina"), ["__child"]);
    let limits = Limits { time: Duration::from_secs(4), memory: 6 << 30 };
    Policy::embedded().with_state(folder).probing(program, limits)
}

fn load(files: &[PathBuf], policy: &Policy) -> Result<Registry, RegistryError> {
    let mut path = SearchPath::empty();
    path.extend(files.iter().cloned(), Origin::Named);
    Registry::load(&path, policy)
}

fn refused(file: &Path, policy: &Policy) -> Result<Refusal, Box<Registry>> {
    match load(&[file.to_owned()], policy) {
        Err(RegistryError::Refused(refusal)) => Ok(refusal),
        Err(error) => panic!("{error}"),
        Ok(registry) => Err(Box::new(registry)),
    }
}

/// Replaces the path of a folder, which differs from run to run.
fn redacted(text: &str, folder: &Path) -> String {
    text.replace(&folder.display().to_string(), "[FOLDER]")
}

#[test]
fn every_misbehaviour_is_reported() {
    let (builds, state) = (Builds::new(), tempfile::tempdir().unwrap());
    let policy = probing_policy(state.path());
    let mut table = String::new();
    for mode in [
        Hostile::SegfaultInConstructor,
        Hostile::AbortInConstructor,
        Hostile::ExitInConstructor,
        Hostile::HangInConstructor,
        Hostile::PrintInConstructor,
        Hostile::PanicInBuild,
        Hostile::AllocateInBuild,
        Hostile::SegfaultInForward,
        Hostile::AbortInForward,
        Hostile::ExitInForward,
        Hostile::HangInForward,
        Hostile::PanicInForward,
        Hostile::PrintInForward,
        Hostile::WrongShape,
        Hostile::Nan,
        Hostile::WriteToInput,
        Hostile::PanicInDrop,
    ] {
        let file = builds.make(mode, 0);
        table += &match refused(&file, &policy) {
            Ok(refusal) => {
                format!("{mode:?} {}: {}\n", refusal.rule.as_str(), redacted(&refusal.found, builds.folder()))
            }
            Err(registry) => {
                let entry = registry.resolve(Kind::Blueprint, "hostile").unwrap();
                format!("{mode:?} loaded; {}\n", entry.unfit().unwrap_or("nothing is wrong"))
            }
        };
    }
    insta::assert_snapshot!(table);
    // A build that ended its process is in quarantine, and not tried again by any process that shares it.
    let quarantined = Quarantine::in_file(state.path().join("quarantine.json")).list().unwrap();
    assert_eq!(quarantined.len(), 9, "{quarantined:#?}");
}

#[test]
fn a_crashing_plugin_does_not_affect_others() {
    let (builds, state) = (Builds::new(), tempfile::tempdir().unwrap());
    builds.make(Hostile::SegfaultInConstructor, 1);
    for name in ["gated", "waver"] {
        std::fs::copy(fixture(name), builds.folder().join(format!("lib{name}.so"))).unwrap();
    }
    std::fs::copy(shipped("kasmina_blends"), builds.folder().join("a.so")).unwrap();
    let mut path = SearchPath::empty();
    path.extend([builds.folder().to_owned()], Origin::User);
    let policy = probing_policy(state.path());
    for _ in 0..2 {
        let registry = Registry::load(&path, &policy).unwrap();
        assert_eq!(registry.plugins().len(), 4, "{:?}", registry.plugins());
        assert_eq!(registry.skipped().len(), 1);
        let schema = registry.resolve(Kind::Blend, "gate_net").unwrap().schema().clone();
        assert!(schema.to_string().contains("hidden"));
    }
    let quarantine = Quarantine::in_file(state.path().join("quarantine.json"));
    assert_eq!(quarantine.clear(Some("fixture_hostile")).unwrap().len(), 1);
    assert!(quarantine.list().unwrap().is_empty());
}

#[test]
fn a_build_that_fails_is_not_swapped_in() {
    let (builds, state) = (Builds::new(), tempfile::tempdir().unwrap());
    let policy = probing_policy(state.path());
    let registry = load(&[builds.make(Hostile::Harmless, 0)], &policy).unwrap();
    let mut table = String::new();
    for mode in [
        Hostile::SegfaultInConstructor,
        Hostile::HangInForward,
        Hostile::PanicInForward,
        Hostile::WrongShape,
        Hostile::Nan,
        Hostile::WriteToInput,
    ] {
        let Err(RegistryError::Refused(refusal)) = registry.stage(&builds.make(mode, 0)) else {
            panic!("{mode:?} is accepted");
        };
        table +=
            &format!("{mode:?} {}: {}\n", refusal.rule.as_str(), redacted(&refusal.found, builds.folder()));
    }
    insta::assert_snapshot!(table);
    registry.stage(&builds.make(Hostile::Harmless, 7)).unwrap();
}

#[test]
fn a_file_that_is_no_plugin_is_refused_with_its_reason() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::write(
        at("random.so"),
        (0..5000u32).flat_map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes()).collect::<Vec<_>>(),
    )
    .unwrap();
    std::fs::write(at("text.so"), "this is a text").unwrap();
    std::fs::write(at("empty.so"), "").unwrap();
    std::fs::create_dir(at("folder.so")).unwrap();
    std::os::unix::fs::symlink(at("loop.so"), at("loop.so")).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, at("pipe.so"), rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    let mut table = String::new();
    for name in ["random", "text", "empty", "loop", "pipe"] {
        let refusal = refused(&at(&format!("{name}.so")), &Policy::embedded()).unwrap();
        table += &format!("{name} {}: {}\n", refusal.rule.as_str(), refusal.found);
    }
    insta::assert_snapshot!(table);
}

#[test]
fn a_second_libtorch_is_found_before_it_is_opened() {
    let folder = tempfile::tempdir().unwrap();
    let whole = std::fs::read(fixture("waver")).unwrap();
    let patched = |from: &[u8], to: &[u8]| {
        let mut bytes = whole.clone();
        let mut found = false;
        let mut at = 0;
        while let Some(next) = bytes[at..].windows(from.len()).position(|w| w == from) {
            bytes[at + next..at + next + to.len()].copy_from_slice(to);
            (found, at) = (true, at + next + to.len());
        }
        assert!(found);
        let path = folder.path().join("patched.so");
        std::fs::write(&path, bytes).unwrap();
        path
    };
    // A name like that of the copy in a Python wheel, of the same length.
    let refusal = refused(&patched(b"libtorch_cpu.so\0", b"libtorch_c2f.so\0"), &Policy::embedded()).unwrap();
    assert_eq!(refusal.rule, Rule::Torch);
    insta::assert_snapshot!(refusal.found, @"it needs its own libtorch, `libtorch_c2f.so`; a process cannot load two");
}

#[test]
fn a_world_writable_file_or_folder_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("libw.so");
    std::fs::copy(fixture("waver"), &file).unwrap();
    let mode = |path: &Path, mode: u32| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    let shown = |refusal: Refusal| {
        assert_eq!(refusal.rule, Rule::Permissions);
        let of = |text: &str| redacted(text, folder.path());
        format!("{}\n{}\n", of(&refusal.found), of(&refusal.remedy))
    };
    mode(&file, 0o646);
    let mut table = shown(refused(&file, &Policy::embedded()).unwrap());
    mode(&file, 0o644);
    mode(folder.path(), 0o777);
    table += &shown(refused(&file, &Policy::embedded()).unwrap());
    let mut path = SearchPath::empty();
    path.extend([folder.path().to_owned()], Origin::User);
    assert_eq!(
        Registry::load(&path, &Policy::embedded()).unwrap().plugins().len(),
        1,
        "only the built-in plugin: the folder is not searched"
    );
    insta::assert_snapshot!(table);
    mode(folder.path(), 0o700);
    assert!(refused(&file, &Policy::embedded()).is_err());
}

/// The result of a trial is kept: a second loading needs no child process, for a library as for a file that a
/// plugin interprets.
#[test]
fn a_file_that_was_tried_is_not_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let declared = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins/declared/examples");
    let declared = std::fs::read_dir(declared).unwrap().next().unwrap().unwrap().path();
    let files = [shipped("kasmina_declared"), declared];
    load(&files, &probing_policy(folder.path())).unwrap();
    let limits = Limits { time: Duration::from_secs(4), memory: 6 << 30 };
    let without_child = Program::new(folder.path().join("missing"), [""; 0]);
    let policy = Policy::embedded().with_state(folder.path()).probing(without_child.clone(), limits);
    load(&files, &policy).unwrap();
    let fresh = tempfile::tempdir().unwrap();
    let policy = Policy::embedded().with_state(fresh.path()).probing(without_child, limits);
    assert!(load(&files, &policy).is_err(), "a file that was never tried needs the child");
}
