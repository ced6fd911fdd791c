//! Registration of entries: `inventory` collects one constant, type-erased [`Registered`] per implementation.

use crate::{
    Blend, Blender, Blueprint, Cost, EntryInfo, Host, HostModule, Kind, PluginError, Result, Seed, Site,
};
use serde::de::DeserializeOwned;
use tch::nn;

/// A registered entry of this library.
#[derive(Debug)]
pub struct Registered {
    pub(crate) kind: Kind,
    pub(crate) info: &'static EntryInfo,
    pub(crate) package: &'static str,
    /// Framed record of the entry. This pointer keeps the linker from discarding it.
    #[expect(dead_code, reason = "records are read from the file, not by this process")]
    record: &'static [u8],
    pub(crate) schema: fn() -> schemars::Schema,
    /// Checks that a configuration can be read, without building anything.
    pub(crate) check: fn(&str) -> Result<()>,
    /// Returns the source of the same module in plain PyTorch. Hosts ignore the site.
    pub(crate) pytorch: fn(&Site, &str) -> Result<Option<String>>,
    pub(crate) make: Make,
}

type MakeBlueprint = fn(&nn::Path<'_>, &Site, &str) -> Result<Box<dyn Seed>>;
type CostOf = fn(&Site, &str) -> Result<Option<Cost>>;
type MakeBlend = fn(&nn::Path<'_>, &Site, &str) -> Result<Box<dyn Blender>>;
type MakeHost = fn(&nn::Path<'_>, &str) -> Result<Box<dyn HostModule>>;

#[derive(Debug)]
pub(crate) enum Make {
    Blueprint { build: MakeBlueprint, cost: CostOf },
    Blend(MakeBlend),
    Host(MakeHost),
}

inventory::collect!(Registered);

impl Registered {
    /// Describes a blueprint, for `register_blueprint!`.
    #[doc(hidden)]
    pub const fn blueprint<T: Blueprint>(record: &'static [u8], package: &'static str) -> Self {
        Self {
            kind: Kind::Blueprint,
            info: &T::INFO,
            package,
            record,
            schema: schema::<T::Config>,
            check: |config| parse::<T::Config>(config).map(drop),
            pytorch: |site, config| Ok(T::pytorch(site, &parse(config)?)),
            make: Make::Blueprint {
                build: |vars, site, config| T::build(vars, site, parse(config)?),
                cost: |site, config| Ok(T::cost(site, &parse(config)?)),
            },
        }
    }

    /// Describes a blend, for `register_blend!`.
    #[doc(hidden)]
    pub const fn blend<T: Blend>(record: &'static [u8], package: &'static str) -> Self {
        Self {
            kind: Kind::Blend,
            info: &T::INFO,
            package,
            record,
            schema: schema::<T::Config>,
            check: |config| parse::<T::Config>(config).map(drop),
            pytorch: |site, config| Ok(T::pytorch(site, &parse(config)?)),
            make: Make::Blend(|vars, site, config| T::build(vars, site, parse(config)?)),
        }
    }

    /// Describes a host, for `register_host!`.
    #[doc(hidden)]
    pub const fn host<T: Host>(record: &'static [u8], package: &'static str) -> Self {
        Self {
            kind: Kind::Host,
            info: &T::INFO,
            package,
            record,
            schema: schema::<T::Config>,
            check: |config| parse::<T::Config>(config).map(drop),
            pytorch: |_, config| Ok(T::pytorch(&parse(config)?)),
            make: Make::Host(|vars, config| T::build(vars, parse(config)?)),
        }
    }
}

fn schema<C: schemars::JsonSchema>() -> schemars::Schema {
    schemars::schema_for!(C)
}

/// Reads a configuration from JSON. An empty text is the default configuration.
fn parse<C: DeserializeOwned + Default>(json: &str) -> Result<C> {
    if json.trim().is_empty() {
        return Ok(C::default());
    }
    serde_json::from_str(json).map_err(|e| PluginError::config(format!("configuration {json}: {e}")))
}

/// Registers a [`Blueprint`]. Call it once per implementation, anywhere in the crate.
#[macro_export]
macro_rules! register_blueprint {
    ($entry:ty) => {
        $crate::__register!(Blueprint, blueprint, $entry, <$entry as $crate::Blueprint>::INFO);
    };
}

/// Registers a [`Blend`]. Call it once per implementation, anywhere in the crate.
#[macro_export]
macro_rules! register_blend {
    ($entry:ty) => {
        $crate::__register!(Blend, blend, $entry, <$entry as $crate::Blend>::INFO);
    };
}

/// Registers a [`Host`]. Call it once per implementation, anywhere in the crate.
#[macro_export]
macro_rules! register_host {
    ($entry:ty) => {
        $crate::__register!(Host, host, $entry, <$entry as $crate::Host>::INFO);
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __register {
    ($kind:ident, $node:ident, $entry:ty, $info:expr) => {
        const _: () = {
            const FIELDS: [(&str, $crate::record::Value); 8] =
                $crate::record::entry_fields($crate::Kind::$kind, &$info, ::core::env!("CARGO_CRATE_NAME"));
            #[unsafe(link_section = "kasmina_manifest")]
            static RECORD: [u8; $crate::record::frame_len(&FIELDS)] = $crate::record::frame(&FIELDS);
            $crate::inventory::submit! {
                $crate::registration::Registered::$node::<$entry>(&RECORD, ::core::env!("CARGO_CRATE_NAME"))
            }
        };
    };
}

/// Makes the crate a plugin. Call it once, anywhere in the crate. An rlib of the same crate registers its
/// entries too, so that a program that embeds Kasmina can link it directly.
///
/// `export_plugin!(host = ">=0.2, <0.4")` declares the versions of Kasmina that the plugin supports; other
/// versions refuse it.
#[macro_export]
macro_rules! export_plugin {
    () => {
        $crate::export_plugin!(host = "*");
    };
    (host = $host:literal) => {
        const _: () = {
            const FIELDS: [(&str, $crate::record::Value); 13] =
                $crate::record::plugin_fields(&$crate::record::PackageFacts {
                    name: ::core::env!("CARGO_CRATE_NAME"),
                    version: ::core::env!("CARGO_PKG_VERSION"),
                    license: ::core::env!("CARGO_PKG_LICENSE"),
                    authors: ::core::env!("CARGO_PKG_AUTHORS"),
                    panic: if ::core::cfg!(panic = "abort") { "abort" } else { "unwind" },
                    entry_symbol: ::core::concat!("kasmina_plugin_", ::core::env!("CARGO_CRATE_NAME")),
                    host: $host,
                });
            #[unsafe(link_section = "kasmina_manifest")]
            static RECORD: [u8; $crate::record::frame_len(&FIELDS)] = $crate::record::frame(&FIELDS);
            #[unsafe(export_name = ::core::concat!("kasmina_plugin_", ::core::env!("CARGO_CRATE_NAME")))]
            pub static ENTRY: $crate::abi::EntryPoint = $crate::abi::EntryPoint::new(&RECORD);
        };
    };
}
