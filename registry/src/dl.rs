//! Opening a library: a sealed private copy, never unloaded, one mapping per content.

#![allow(unsafe_code, reason = "dlopen runs foreign constructors and dlsym hands out addresses")]

use crate::error::{Refusal, Rule};
use crate::manifest::Manifest;
use crate::places;
use crate::policy::Policy;
use crate::services::Forwarder;
use kasmina_plugin_api::abi::{AdoptError, Plugin};
use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::ffi::c_void;
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsRawFd, IntoRawFd, RawFd};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

pub(crate) use kasmina_plugin_api::abi::Listed;

/// An opened library with what it lists.
#[derive(Clone)]
pub(crate) struct Opened {
    pub(crate) plugin: Plugin,
    pub(crate) listed: Vec<Listed>,
}

/// A library that is mapped into this process, whether it was let in then or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapping {
    /// Name of the plugin.
    pub name: String,
    /// The hash of its bytes.
    pub sha256: String,
    /// Where its entry point lies.
    pub address: usize,
    /// The descriptor of the sealed copy of its bytes; it is never closed.
    copy: RawFd,
}

/// The bytes of a library that was opened in this process, as they were then.
pub(crate) fn bytes(sha256: &str) -> Option<std::io::Result<Vec<u8>>> {
    let copy = mapped().all.iter().find(|m| m.sha256 == sha256)?.copy;
    Some(std::fs::read(format!("/proc/self/fd/{copy}")))
}

#[derive(Default)]
struct Mapped {
    opened: BTreeMap<String, Opened>,
    /// In the order of opening.
    all: Vec<Mapping>,
}

/// Everything mapped into this process, by sha256.
static MAPPED: Mutex<Mapped> = Mutex::new(Mapped { opened: BTreeMap::new(), all: Vec::new() });

fn mapped() -> MutexGuard<'static, Mapped> {
    MAPPED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Opens the bytes of a checked manifest.
pub(crate) fn open(manifest: &Manifest, policy: &Policy) -> Result<Opened, Refusal> {
    let mut mapped = mapped();
    if let Some(known) = mapped.opened.get(&manifest.sha256) {
        return Ok(known.clone());
    }
    let opened = open_new(manifest, policy, &mut mapped.all)?;
    mapped.opened.insert(manifest.sha256.clone(), opened.clone());
    Ok(opened)
}

/// Whether these bytes are in this process already.
pub(crate) fn is_mapped(manifest: &Manifest) -> bool {
    mapped().opened.contains_key(&manifest.sha256)
}

/// How many builds of a plugin are in this process.
pub(crate) fn generations(name: &str) -> usize {
    mapped().all.iter().filter(|m| m.name == name).count()
}

/// Every library that was opened here, in that order. None is ever closed.
pub fn mappings() -> Vec<Mapping> {
    mapped().all.clone()
}

fn open_new(manifest: &Manifest, policy: &Policy, all: &mut Vec<Mapping>) -> Result<Opened, Refusal> {
    let refuse = |rule, found: String, remedy: &str| Refusal {
        path: manifest.path.clone(),
        rule,
        found,
        remedy: remedy.to_owned(),
    };
    let copy = sealed_copy(manifest)
        .map_err(|e| refuse(Rule::Open, format!("no private copy: {e}"), "check the memory that is left"))?;
    // The copy has an inode of its own, so the loader cannot take it for an image that it already has.
    let path = format!("/proc/self/fd/{}", copy.as_raw_fd());
    // SAFETY: constructors of the library run now; the records were checked, and from here on it is trusted
    // code in this process. It is never closed: `library` and `copy` are forgotten below.
    let library = unsafe { Library::open(Some(&path), RTLD_NOW | RTLD_LOCAL) }.map_err(|e| {
        let reason = std::error::Error::source(&e).map_or_else(|| e.to_string(), ToString::to_string);
        refuse(Rule::Open, reason.replace(&path, "it"), "build the plugin on this system, with this torch")
    })?;
    // Its constructors have run, so it is never closed, even if it is refused below. The descriptor stays
    // open too: the loader knows the image by that path.
    let copy = copy.into_raw_fd();
    let library = std::mem::ManuallyDrop::new(library);
    let symbol = &manifest.plugin.entry_symbol;
    // SAFETY: only the address is taken; `adopt` checks what lies there.
    let entry = unsafe { library.get::<*const c_void>(symbol.as_bytes()) }
        .map(|s| s.into_raw().cast_const())
        .map_err(|_| {
            let found = format!("it exports no symbol `{symbol}` although its record says so");
            refuse(
                Rule::Open,
                found,
                "build the plugin again; its record and its code do not belong together",
            )
        })?;
    let address = entry as usize;
    if all.iter().any(|m| m.address == address) {
        let found = "the loader gave the image of another build for it".to_owned();
        return Err(refuse(Rule::Open, found, "tell the developers of Kasmina"));
    }
    let (name, sha256) = (manifest.plugin.name.clone(), manifest.sha256.clone());
    all.push(Mapping { name, sha256, address, copy });

    // SAFETY: the symbol is the one that the plugin's own record names, in a library that stays mapped.
    let plugin = unsafe { Plugin::adopt(entry) }.map_err(|error| {
        let mut found = error.to_string();
        if let AdoptError::Layout { full, .. } = &error
            && let Some(report) = keep_report(manifest, policy, full)
        {
            found.push_str("; the whole report is in ");
            found.push_str(&report.display().to_string());
        }
        refuse(Rule::Layout, found, "build the plugin against the kasmina-plugin-api of this release")
    })?;
    plugin
        .init(Box::new(Forwarder::new(manifest)))
        .map_err(|e| refuse(Rule::Init, e.to_string(), "tell the plugin's author"))?;
    let listed =
        plugin.list().map_err(|e| refuse(Rule::Listing, e.to_string(), "tell the plugin's author"))?;

    let running: Vec<_> = listed.iter().map(|l| &l.record).collect();
    if running != manifest.entries.iter().collect::<Vec<_>>() {
        let names = |records: &mut dyn Iterator<Item = String>| records.collect::<Vec<_>>().join(", ");
        let found = format!(
            "its records name [{}], its code lists [{}]",
            names(&mut manifest.entries.iter().map(|e| e.id.clone())),
            names(&mut running.iter().map(|e| e.id.clone()))
        );
        return Err(refuse(Rule::Listing, found, "build the plugin again; do not edit its records"));
    }
    Ok(Opened { plugin, listed })
}

/// A layout report has thousands of lines: they go where whoever wants them finds them.
fn keep_report(manifest: &Manifest, policy: &Policy, full: &str) -> Option<PathBuf> {
    // Not in a folder that others share, and not under a name that the plugin has chosen.
    let path = policy.cache.as_ref()?.join("reports").join(format!("{}.txt", manifest.sha256));
    places::write(&path, full).is_ok().then_some(path)
}

/// The checked bytes in anonymous memory that nobody, not even this process, can change any more.
pub(crate) fn sealed_copy(manifest: &Manifest) -> std::io::Result<File> {
    let name = format!("kasmina-{}-{}", manifest.plugin.name, manifest.generation());
    let fd = memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    let mut file = File::from(fd);
    file.write_all(&manifest.bytes)?;
    let fixed = SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL;
    // Nothing maps it for writing, so forbidding later writes forbids all of them. The stricter seal waits
    // until the kernel has let go of every page and gives up with EBUSY on a loaded machine; kernels before
    // 5.1 have only that.
    fcntl_add_seals(&file, fixed | SealFlags::FUTURE_WRITE).or_else(|error| match error {
        Errno::INVAL => fcntl_add_seals(&file, fixed | SealFlags::WRITE),
        other => Err(other),
    })?;
    Ok(file)
}
