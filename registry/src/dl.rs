//! Opens libraries. Each library is opened from a sealed private copy, once for each content, and never
//! unloaded.

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

/// A library that is mapped into this process, even if it was refused after it was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapping {
    /// Name of the plugin.
    pub name: String,
    /// SHA-256 of the library's bytes, in hexadecimal digits.
    pub sha256: String,
    /// Address of the entry point.
    pub address: usize,
    /// The descriptor of the sealed copy of its bytes; it is never closed.
    copy: RawFd,
}

/// Returns the bytes of a library as it was opened in this process; `None` if it was not opened.
pub(crate) fn bytes(sha256: &str) -> Option<std::io::Result<Vec<u8>>> {
    let copy = mapped().all.iter().find(|m| m.sha256 == sha256)?.copy;
    Some(std::fs::read(format!("/proc/self/fd/{copy}")))
}

#[derive(Default)]
struct Mapped {
    /// Libraries that were opened and passed all checks, by SHA-256.
    opened: BTreeMap<String, Opened>,
    /// All mappings, in the order of opening.
    all: Vec<Mapping>,
}

/// All libraries that are mapped into this process.
static MAPPED: Mutex<Mapped> = Mutex::new(Mapped { opened: BTreeMap::new(), all: Vec::new() });

fn mapped() -> MutexGuard<'static, Mapped> {
    MAPPED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Opens the bytes of a verified manifest. Returns the existing mapping if these bytes were opened before.
pub(crate) fn open(manifest: &Manifest, policy: &Policy) -> Result<Opened, Refusal> {
    let mut mapped = mapped();
    if let Some(known) = mapped.opened.get(&manifest.sha256) {
        return Ok(known.clone());
    }
    let opened = open_new(manifest, policy, &mut mapped.all)?;
    mapped.opened.insert(manifest.sha256.clone(), opened.clone());
    Ok(opened)
}

/// Whether these bytes are already open in this process.
pub(crate) fn is_mapped(manifest: &Manifest) -> bool {
    mapped().opened.contains_key(&manifest.sha256)
}

/// Returns the number of builds of a plugin that are mapped into this process.
pub(crate) fn generations(name: &str) -> usize {
    mapped().all.iter().filter(|m| m.name == name).count()
}

/// Returns every library that was opened in this process, in the order of opening. None is ever closed.
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
    let copy = sealed_copy(manifest).map_err(|e| {
        refuse(
            Rule::Open,
            format!("cannot make a private copy: {e}"),
            "check that enough memory is available",
        )
    })?;
    // The copy has its own inode, so the loader cannot mistake it for an image that it has already loaded.
    let path = format!("/proc/self/fd/{}", copy.as_raw_fd());
    // SAFETY: this runs the library's constructors. The file was verified, so its code is trusted. The
    // library is never closed: `library` and `copy` are leaked below.
    let library = unsafe { Library::open(Some(&path), RTLD_NOW | RTLD_LOCAL) }.map_err(|e| {
        let reason = std::error::Error::source(&e).map_or_else(|| e.to_string(), ToString::to_string);
        refuse(Rule::Open, reason.replace(&path, "it"), "build the plugin on this system, with this torch")
    })?;
    // The constructors have run, so the library is never closed, even if it is refused below. The descriptor
    // stays open too, because the loader identifies the image by that path.
    let copy = copy.into_raw_fd();
    let library = std::mem::ManuallyDrop::new(library);
    let symbol = &manifest.plugin.entry_symbol;
    // SAFETY: only the address is taken; `adopt` checks what lies there.
    let entry = unsafe { library.get::<*const c_void>(symbol.as_bytes()) }
        .map(|s| s.into_raw().cast_const())
        .map_err(|_| {
            let found = format!("its record names the entry point `{symbol}`, but it exports no such symbol");
            refuse(Rule::Open, found, "build the plugin again; its record and its code do not match")
        })?;
    let address = entry as usize;
    if all.iter().any(|m| m.address == address) {
        let found = "the loader returned the image of another build".to_owned();
        return Err(refuse(Rule::Open, found, "report this to the developers of Kasmina"));
    }
    let (name, sha256) = (manifest.plugin.name.clone(), manifest.sha256.clone());
    all.push(Mapping { name, sha256, address, copy });

    // SAFETY: the plugin's own record names this symbol, and the library stays mapped.
    let plugin = unsafe { Plugin::adopt(entry) }.map_err(|error| {
        let mut found = error.to_string();
        if let AdoptError::Layout { full, .. } = &error
            && let Some(report) = write_report(manifest, policy, full)
        {
            found.push_str("; the full report is in ");
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

/// Writes the full layout report, which has thousands of lines, into the cache folder. Returns its path.
fn write_report(manifest: &Manifest, policy: &Policy, full: &str) -> Option<PathBuf> {
    // The path is not in a shared folder, and the plugin does not choose its name.
    let path = policy.cache.as_ref()?.join("reports").join(format!("{}.txt", manifest.sha256));
    places::write(&path, full).is_ok().then_some(path)
}

/// Returns the bytes of a manifest in sealed anonymous memory, which no process can change, not even this
/// one.
pub(crate) fn sealed_copy(manifest: &Manifest) -> std::io::Result<File> {
    let name = format!("kasmina-{}-{}", manifest.plugin.name, manifest.generation());
    let fd = memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    let mut file = File::from(fd);
    file.write_all(&manifest.bytes)?;
    let fixed = SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL;
    // Nothing has mapped the memory for writing, so F_SEAL_FUTURE_WRITE forbids all writes. F_SEAL_WRITE
    // would wait until the kernel has released every page, and fails with EBUSY on a loaded machine. Kernels
    // before 5.1 have only F_SEAL_WRITE.
    fcntl_add_seals(&file, fixed | SealFlags::FUTURE_WRITE).or_else(|error| match error {
        Errno::INVAL => fcntl_add_seals(&file, fixed | SealFlags::WRITE),
        other => Err(other),
    })?;
    Ok(file)
}
