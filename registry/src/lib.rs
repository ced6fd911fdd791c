//! Finds plugins, checks them, opens them, and knows what they bring.
//!
//! The order of loading never changes: records are read without opening anything; they are checked against this
//! host; a private copy of exactly the bytes that were checked is opened; the type layouts of both sides are
//! compared; services are passed in; what the running code lists must equal the records. Each refusal is one
//! [`Refusal`]: which file, which rule, what was found, what to do.
//!
//! A library is never unloaded: its code may sit under any live object. Bytes seen before reuse their mapping.

mod builtin;
mod catalogue;
mod check;
pub mod child;
mod dl;
mod error;
mod listing;
mod manifest;
mod search;
pub mod services;

pub use catalogue::{Entry, PluginInfo, Registry, Skipped, Trust};
pub use error::{LookupError, Refusal, RegistryError, Rule};
pub use listing::{EntryRow, Listing, RefusedRow};
pub use manifest::Manifest;
pub use search::{Origin, Place, SearchPath};
