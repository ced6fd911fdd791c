//! The plugin interface: the binary interface between a host process and plugins that were compiled
//! separately. Only this module uses `abi_stable`.
//!
//! * Tensors are passed as `at::Tensor*`. Inputs are borrowed for the call; outputs are owned by the
//!   receiver. Both sides must use the same build of torch, which is checked by the records before a plugin
//!   is opened.
//! * Every object of the plugin interface runs the author's code inside the [guard](crate::guard). Every
//!   error is a [`PluginError`](crate::PluginError). No panic unwinds across the interface.
//! * Compatibility is checked by comparing type layouts; which side must contain the other depends on the
//!   versions ([`Plugin::adopt`]).
//!
//! **Versions.** The version of the plugin interface is the version of this crate, frozen at 1.0. Within a
//! major version, minor versions only add methods at the end with default bodies, fields at the end of the
//! root that may be missing, and record fields and kinds that older hosts ignore. So a plugin runs in hosts
//! that are older or newer than itself; `tests/tests/interface_versions.rs` builds both.

#![allow(unsafe_code, reason = "raw tensor handles and foreign entry points are turned into safe types here")]
#![allow(
    non_local_definitions,
    non_camel_case_types,
    missing_docs,
    unreachable_pub,
    clippy::pedantic,
    clippy::undocumented_unsafe_blocks,
    reason = "code that abi_stable's macros expand to"
)]

mod adapt;
mod adopt;
#[cfg(test)]
mod golden;
mod live;
mod objects;
mod pending;
mod root;
mod script;
mod services;
mod wire;

pub use adopt::{AdoptError, Listed, Plugin};
pub use live::{BlendInstance, HostInstance, SeedInstance, Variable};
pub(crate) use pending::take_torch_error;
pub use root::EntryPoint;
