//! The API for plugins: blueprints, blend algorithms and hosts.
//!
//! A plugin is an ordinary crate. `kasmina plugins new my-plugin --kind blueprint` writes one that builds and
//! passes `kasmina plugins check`; `docs/guide` explains the next steps. A plugin implements [`Blueprint`],
//! [`Blend`] or [`Host`], registers each implementation once with [`register_blueprint!`],
//! [`register_blend!`] or [`register_host!`], and calls [`export_plugin!`] once:
//!
//! ```
//! use kasmina_plugin_api::prelude::*;
//!
//! #[derive(Debug, Default, Deserialize, JsonSchema)]
//! #[serde(default, deny_unknown_fields)]
//! struct ScaleConfig {}
//!
//! /// `x * (1 + g)` with one learned `g` per channel. A new seed is the identity, and its gradient is not 0.
//! struct Scale;
//!
//! struct ScaleSeed {
//!     gain: Tensor,
//! }
//!
//! impl Blueprint for Scale {
//!     const INFO: EntryInfo =
//!         EntryInfo::new("scale", "one learned gain per channel").topologies(&[Topology::CNN]);
//!     type Config = ScaleConfig;
//!
//!     fn build(vars: &nn::Path<'_>, site: &Site, _config: ScaleConfig) -> Result<Box<dyn Seed>> {
//!         let gain = vars.zeros("gain", &[1, site.channels(), 1, 1]);
//!         Ok(Box::new(ScaleSeed { gain }))
//!     }
//! }
//!
//! impl Seed for ScaleSeed {
//!     fn forward(&mut self, x: &Tensor, _cx: &Cx<'_>) -> Result<Tensor> {
//!         Ok(x.f_addcmul(x, &self.gain)?)
//!     }
//! }
//!
//! kasmina_plugin_api::register_blueprint!(Scale);
//! kasmina_plugin_api::export_plugin!();
//! # fn main() {}
//! ```
//!
//! An author needs no `unsafe` and does not use the plugin interface ([`abi`]) directly. Every call and every
//! drop runs behind a guard that turns a panic into a [`PluginError`].

pub mod abi;
mod blend;
mod blueprint;
mod cx;
mod error;
pub mod guard;
mod host;
mod info;
pub mod ops;
pub mod record;
pub mod registration;
pub mod services;
mod site;

pub use blend::{Blend, Blender};
pub use blueprint::{Blueprint, Seed};
pub use cx::{Cx, Mode};
pub use error::{Context, ErrorKind, PluginError, Result};
pub use host::{Host, HostModule, SlotSpec, TapHandler, Taps};
pub use info::{Capability, Cost, EntryInfo, Kind};
pub use site::{Layout, Site, Topology};

pub use {inventory, schemars, serde, serde_json, tch, tracing};

/// The items that most plugins need: `use kasmina_plugin_api::prelude::*;`.
pub mod prelude {
    pub use crate::{
        Blend, Blender, Blueprint, Capability, Context, Cost, Cx, EntryInfo, ErrorKind, Host, HostModule,
        Layout, Mode, PluginError, Result, Seed, Site, SlotSpec, Taps, Topology,
    };
    pub use schemars::JsonSchema;
    pub use serde::{Deserialize, Serialize};
    pub use tch::{Tensor, nn};
}

/// Version of the plugin interface, which is the version of this crate.
pub const ABI_VERSION: &str = env!("CARGO_PKG_VERSION");
/// Version of torch that this crate was built against.
pub const TORCH_VERSION: &str = env!("KASMINA_TORCH");
/// Target triple that this crate was built for.
pub const TARGET: &str = env!("KASMINA_TARGET");
