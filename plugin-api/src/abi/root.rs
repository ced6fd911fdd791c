//! The root of a library: the functions through which a host process uses it.

use super::adapt::Instance;
use super::objects::{BlendBox, BlendObject_TO, HostBox, HostObject_TO, SeedBox, SeedObject_TO, ServicesBox};
use super::services::ImportedServices;
use super::wire::{Wire, WireCost, WireEntry, WireSite, cost_to_wire, to_wire};
use crate::guard::guard;
use crate::record::EntryRecord;
use crate::registration::{Make, Registered};
use crate::{Kind, PluginError, Result};
use abi_stable::StableAbi;
use abi_stable::library::{CheckTypeLayout, LibHeader, RootModule, RootModuleResult};
use abi_stable::package_version_strings;
use abi_stable::prefix_type::PrefixTypeTrait;
use abi_stable::sabi_trait::TD_Opaque;
use abi_stable::sabi_types::VersionStrings;
use abi_stable::std_types::{ROption, RStr, RString, RVec};
use tch::Device;

/// The functions that a library exports. Minor versions add fields at the end, each with
/// `missing_field(option)`.
#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = RootRef)))]
#[sabi(missing_field(panic))]
pub struct Root {
    pub init: extern "C" fn(ServicesBox) -> Wire<()>,
    pub list: extern "C" fn() -> Wire<RVec<WireEntry>>,
    pub check_config: extern "C" fn(RStr<'_>, RStr<'_>, RStr<'_>) -> Wire<()>,
    pub cost: extern "C" fn(RStr<'_>, &WireSite<'_>, RStr<'_>) -> Wire<ROption<WireCost>>,
    pub make_seed: extern "C" fn(RStr<'_>, &WireSite<'_>, RStr<'_>) -> Wire<SeedBox>,
    pub make_blend: extern "C" fn(RStr<'_>, &WireSite<'_>, RStr<'_>) -> Wire<BlendBox>,
    #[sabi(last_prefix_field)]
    pub make_host: extern "C" fn(RStr<'_>, &WireSite<'_>, RStr<'_>) -> Wire<HostBox>,
    /// Since 1.1.
    #[sabi(missing_field(option))]
    pub pytorch: extern "C" fn(RStr<'_>, RStr<'_>, &WireSite<'_>, RStr<'_>) -> Wire<ROption<RString>>,
}

impl RootModule for RootRef {
    abi_stable::declare_root_module_statics! {RootRef}
    const BASE_NAME: &'static str = "kasmina_plugin";
    const NAME: &'static str = "kasmina_plugin";
    const VERSION_STRINGS: VersionStrings = package_version_strings!();
}

/// Returns this library's own root, which a plugin exports. A host process uses its own root for the entries
/// that are linked into it.
pub(super) fn local() -> RootRef {
    Root { init, list, check_config, cost, make_seed, make_blend, make_host, pytorch }.leak_into_prefix()
}

extern "C" fn construct() -> RootModuleResult {
    abi_stable::library::__call_root_module_loader(local)
}

/// Entry point of a plugin, the type of the static that `export_plugin!` exports.
#[repr(C)]
pub struct EntryPoint {
    header: LibHeader,
    record: &'static [u8],
}

impl EntryPoint {
    #[doc(hidden)]
    pub const fn new(record: &'static [u8]) -> Self {
        // SAFETY: `construct` returns a type-erased `RootRef`.
        let header = unsafe { LibHeader::from_constructor::<RootRef>(construct, CheckTypeLayout::Yes) };
        Self { header, record }
    }

    /// The plugin's record in its frame. This reference keeps the linker from discarding the record.
    pub fn record(&self) -> &'static [u8] {
        self.record
    }
}

extern "C" fn init(services: ServicesBox) -> Wire<()> {
    let done = guard(|| {
        crate::services::install(Box::new(ImportedServices(services)));
        Ok(())
    });
    to_wire(done.result, |()| ())
}

extern "C" fn list() -> Wire<RVec<WireEntry>> {
    let listed = guard(|| {
        // The order of `inventory` differs between builds, so the host sorts the list.
        inventory::iter::<Registered>()
            .map(|r: &Registered| {
                let schema = serde_json::to_string(&(r.schema)())?;
                let record = serde_json::to_string(&EntryRecord::of(r.kind, r.info, r.package))?;
                Ok(WireEntry { record: record.into(), schema: schema.into() })
            })
            .collect::<Result<Vec<_>>>()
    });
    to_wire(listed.result, RVec::from)
}

fn registered(kind: &str, id: &str) -> Result<&'static Registered> {
    inventory::iter::<Registered>()
        .find(|r| r.kind.as_str() == kind && r.info.id == id)
        .ok_or_else(|| PluginError::config(format!("this library has no {kind} `{id}`")))
}

fn find(kind: Kind, id: &str) -> Result<&'static Make> {
    registered(kind.as_str(), id).map(|r| &r.make)
}

/// Checks that a configuration can be read, without creating tensors or drawing random numbers.
extern "C" fn check_config(kind: RStr<'_>, id: RStr<'_>, config: RStr<'_>) -> Wire<()> {
    let checked = guard(|| (registered(kind.as_str(), id.as_str())?.check)(config.as_str()));
    to_wire(checked.result, |()| ())
}

extern "C" fn cost(id: RStr<'_>, site: &WireSite<'_>, config: RStr<'_>) -> Wire<ROption<WireCost>> {
    let found = guard(|| match find(Kind::Blueprint, id.as_str())? {
        Make::Blueprint { cost, .. } => cost(&site.read()?, config.as_str()),
        _ => Ok(None),
    });
    to_wire(found.result, cost_to_wire)
}

extern "C" fn pytorch(
    kind: RStr<'_>,
    id: RStr<'_>,
    site: &WireSite<'_>,
    config: RStr<'_>,
) -> Wire<ROption<RString>> {
    let found = guard(|| (registered(kind.as_str(), id.as_str())?.pytorch)(&site.read()?, config.as_str()));
    to_wire(found.result, |source| source.map(RString::from).into())
}

extern "C" fn make_seed(id: RStr<'_>, site: &WireSite<'_>, config: RStr<'_>) -> Wire<SeedBox> {
    let made = guard(|| {
        let site = site.read()?;
        let Make::Blueprint { build, .. } = find(Kind::Blueprint, id.as_str())? else {
            return Err(PluginError::other("registered under another kind"));
        };
        let instance =
            Instance::build(site.device(), site.dtype(), |vars| build(vars, &site, config.as_str()))?;
        Ok(SeedObject_TO::from_value(instance, TD_Opaque))
    });
    to_wire(made.result, |made| made)
}

extern "C" fn make_blend(id: RStr<'_>, site: &WireSite<'_>, config: RStr<'_>) -> Wire<BlendBox> {
    let made = guard(|| {
        let site = site.read()?;
        let Make::Blend(build) = find(Kind::Blend, id.as_str())? else {
            return Err(PluginError::other("registered under another kind"));
        };
        let instance =
            Instance::build(site.device(), site.dtype(), |vars| build(vars, &site, config.as_str()))?;
        Ok(BlendObject_TO::from_value(instance, TD_Opaque))
    });
    to_wire(made.result, |made| made)
}

/// Builds a host. A host has no site, so only the device and dtype of `site` are used.
extern "C" fn make_host(id: RStr<'_>, site: &WireSite<'_>, config: RStr<'_>) -> Wire<HostBox> {
    let made = guard(|| {
        let site = site.read()?;
        let device: Device = site.device();
        let Make::Host(build) = find(Kind::Host, id.as_str())? else {
            return Err(PluginError::other("registered under another kind"));
        };
        let instance = Instance::build(device, site.dtype(), |vars| build(vars, config.as_str()))?;
        Ok(HostObject_TO::from_value(instance, TD_Opaque))
    });
    to_wire(made.result, |made| made)
}
