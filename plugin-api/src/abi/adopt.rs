//! The host process's side: opens the entry point of a library as a [`Plugin`], or returns why it cannot.

use super::live::{BlendInstance, HostInstance, SeedInstance};
use super::root::{RootRef, local};
use super::services;
use super::wire::{WireSite, cost_from_wire, from_wire};
use crate::record::EntryRecord;
use crate::services::Services;
use crate::{Cost, Result, Site, Topology};
use abi_stable::StableAbi;
use abi_stable::abi_stability::check_layout_compatibility;
use abi_stable::library::{AbiHeader, AbiHeaderRef, LibraryError, RootModule};
use semver::Version;
use std::ffi::c_void;
use tch::{Device, Kind};

/// Error of an entry point that cannot be adopted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AdoptError {
    /// The symbol is not an entry point of Kasmina.
    #[error("the exported symbol is not a plugin entry point: {0}")]
    NotAnEntryPoint(String),
    /// The type layouts of the two sides are not compatible.
    #[error("its types are not compatible with this host's: {summary}")]
    Layout {
        /// The first differences between the two layouts.
        summary: String,
        /// Full report of the layout check; long.
        full: String,
    },
    /// The major versions of the plugin interface differ, or a version cannot be read.
    #[error("it was built for version {plugin} of the plugin interface; this host has {host}")]
    Version {
        /// Version of the interface that the plugin was built with.
        plugin: String,
        /// Version of the interface that the host has.
        host: String,
    },
}

/// The factories of an opened library, or of the entries that are linked into this process.
#[derive(Clone, Copy)]
pub struct Plugin(RootRef);

impl std::fmt::Debug for Plugin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Plugin")
    }
}

/// An entry in the list of an opened library.
#[derive(Debug, Clone)]
pub struct Listed {
    /// Record of the entry, created by the library's code. It must equal the record in the file.
    pub record: EntryRecord,
    /// JSON schema of the entry's configuration.
    pub schema: serde_json::Value,
}

impl Plugin {
    /// Returns the entries that are linked into this process: built-ins, and plugin crates linked as rlibs.
    pub fn linked() -> Self {
        Self(local())
    }

    /// Checks and adopts the entry point of an opened library.
    ///
    /// The direction of the layout check depends on the versions. A plugin that is as new as the host process
    /// or newer must contain everything that the host process knows. An older plugin must not need anything
    /// that the host process lacks; what the plugin itself lacks has defaults.
    ///
    /// # Safety
    /// `symbol` must be the address of a static that `export_plugin!` created, in a library that is never
    /// unloaded.
    ///
    /// # Errors
    /// If the symbol is not an entry point, or is not compatible.
    pub unsafe fn adopt(symbol: *const c_void) -> std::result::Result<Self, AdoptError> {
        // SAFETY: the caller passes an entry point, which begins with an `AbiHeader`. `AbiHeaderRef` is a
        // transparent pointer to one; `upgrade` checks its magic before anything else is read.
        let header = unsafe { std::mem::transmute::<*const AbiHeader, AbiHeaderRef>(symbol.cast()) };
        let header = header.upgrade().map_err(|e| AdoptError::NotAnEntryPoint(short(&e.to_string())))?;

        let (plugin, host) = (header.version_strings(), RootRef::VERSION_STRINGS);
        let (plugin, host) = (plugin.version.as_str(), host.version.as_str());
        let older = match (Version::parse(plugin), Version::parse(host)) {
            (Ok(p), Ok(h)) if p.major == h.major => (p.major, p.minor) < (h.major, h.minor),
            _ => return Err(AdoptError::Version { plugin: plugin.into(), host: host.into() }),
        };
        if older {
            let layout = header
                .layout()
                .ok_or_else(|| AdoptError::NotAnEntryPoint("it contains no type layout".into()))?;
            check_layout_compatibility(layout, RootRef::LAYOUT)
                .into_result()
                .map_err(|e| layout_error(&e.to_string()))?;
        } else {
            header.ensure_layout::<RootRef>().map_err(|e| match e {
                LibraryError::AbiInstability(e) => layout_error(&e.to_string()),
                other => AdoptError::NotAnEntryPoint(short(&other.to_string())),
            })?;
        }
        // SAFETY: the check above found the layouts compatible, in the direction that the versions require.
        let root = unsafe { header.init_root_module_with_unchecked_layout::<RootRef>() }
            .map_err(|e| AdoptError::NotAnEntryPoint(short(&e.to_string())))?;
        Ok(Self(root))
    }

    /// Passes the services of the host process to the plugin. Must be called before anything is built.
    ///
    /// # Errors
    /// If the plugin fails to install them.
    pub fn init(&self, services: Box<dyn Services>) -> Result<()> {
        from_wire(self.0.init()(services::export(services)))
    }

    /// Returns the plugin's entries, sorted, as its code lists them.
    ///
    /// # Errors
    /// If a schema cannot be created or a record cannot be read.
    pub fn list(&self) -> Result<Vec<Listed>> {
        let mut listed = from_wire(self.0.list()())?
            .into_iter()
            .map(|entry| {
                Ok(Listed {
                    record: serde_json::from_str(&entry.record)?,
                    schema: serde_json::from_str(&entry.schema)?,
                })
            })
            .collect::<Result<Vec<Listed>>>()?;
        listed.sort_by(|a, b| a.record.cmp(&b.record));
        Ok(listed)
    }

    /// Checks that a configuration can be read, without creating tensors or drawing random numbers. May be
    /// called on any thread.
    ///
    /// # Errors
    /// If the configuration is not valid.
    pub fn check_config(&self, kind: crate::Kind, id: &str, config: &str) -> Result<()> {
        from_wire(self.0.check_config()(kind.as_str().into(), id.into(), config.into()))
    }

    /// Returns the cost of a seed at a site; `None` if its blueprint does not know it.
    ///
    /// # Errors
    /// If the configuration is not valid.
    pub fn cost(&self, id: &str, site: &Site, config: &str) -> Result<Option<Cost>> {
        from_wire(self.0.cost()(id.into(), &WireSite::new(site)?, config.into())).map(cost_from_wire)
    }

    /// Builds a seed.
    ///
    /// # Errors
    /// If the blueprint refuses the site or configuration, panics, or breaks a rule of the interface.
    pub fn make_seed(&self, id: &str, site: &Site, config: &str) -> Result<SeedInstance> {
        let object = from_wire(self.0.make_seed()(id.into(), &WireSite::new(site)?, config.into()))?;
        Ok(SeedInstance::new(object))
    }

    /// Builds the blend of one seed.
    ///
    /// # Errors
    /// As for [`make_seed`](Self::make_seed).
    pub fn make_blend(&self, id: &str, site: &Site, config: &str) -> Result<BlendInstance> {
        let object = from_wire(self.0.make_blend()(id.into(), &WireSite::new(site)?, config.into()))?;
        Ok(BlendInstance::new(object))
    }

    /// Builds a host network.
    ///
    /// # Errors
    /// As for [`make_seed`](Self::make_seed).
    pub fn make_host(&self, id: &str, device: Device, dtype: Kind, config: &str) -> Result<HostInstance> {
        let site = Site::new(Topology::new(""), 0).with_device(device).with_dtype(dtype);
        let object = from_wire(self.0.make_host()(id.into(), &WireSite::new(&site)?, config.into()))?;
        HostInstance::new(object)
    }

    /// Returns the source of an entry's module in plain PyTorch; `None` if the entry has none, or if the
    /// plugin was built for 1.0. A host has no site.
    ///
    /// # Errors
    /// If the configuration is not valid, or the plugin panics.
    pub fn pytorch(
        &self,
        kind: crate::Kind,
        id: &str,
        site: Option<&Site>,
        config: &str,
    ) -> Result<Option<String>> {
        let Some(pytorch) = self.0.pytorch() else { return Ok(None) };
        let nowhere = Site::new(Topology::new(""), 0);
        let site = WireSite::new(site.unwrap_or(&nowhere))?;
        let source = from_wire(pytorch(kind.as_str().into(), id.into(), &site, config.into()))?;
        Ok(source.into_option().map(String::from))
    }
}

/// Summarizes the report of a layout check, which has thousands of lines. Those with a reason begin with
/// `Error:`.
fn layout_error(full: &str) -> AdoptError {
    let mut lines: Vec<&str> =
        full.lines().map(str::trim).filter(|l| l.starts_with("Error:")).map(|l| l[6..].trim()).collect();
    lines.dedup();
    lines.truncate(3);
    let summary = if lines.is_empty() { short(full) } else { lines.join("; ") };
    AdoptError::Layout { summary, full: full.to_owned() }
}

/// Returns the first line that is not empty, at most 200 characters of it.
fn short(text: &str) -> String {
    text.lines()
        .map(str::trim)
        .find(|l| !l.is_empty())
        .unwrap_or("no reason given")
        .chars()
        .take(200)
        .collect()
}
