//! The plugin interface: how a plugin that was compiled apart is called. Nothing outside this module names
//! `abi_stable`.
//!
//! * Tensors cross as `at::Tensor*`: inputs are borrowed for the call, outputs are owned by the receiver.
//!   Both sides must run the same torch build, which the records are compared for before anything is opened.
//! * Every object behind the plugin interface runs author code inside the [guard](crate::guard); every error
//!   is a [`PluginError`](crate::PluginError). Nothing unwinds across.
//! * Compatibility is checked on the type layouts themselves, in the direction that the versions ask for
//!   ([`Plugin::adopt`]).
//!
//! **Versions.** The plugin interface is this crate: its version is the ABI's, frozen at 1.0. Within a major
//! version, minor ones only add: methods at the end with default bodies, fields of the root at the end that
//! may be missing, record fields and kinds that older hosts pass over. So a plugin runs in hosts older and
//! newer than itself; `tests/tests/interface_versions.rs` builds both.

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
mod log;
mod objects;
mod pending;
mod root;
mod script;
mod wire;

pub use adopt::{AdoptError, Listed, Plugin};
pub use live::{BlendInstance, HostInstance, SeedInstance, Variable};
pub(crate) use pending::take_torch_error;
pub use root::EntryPoint;
