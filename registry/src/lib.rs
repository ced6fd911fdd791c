//! Finds plugins, verifies them, opens them, and lists their entries.
//!
//! The order of loading never changes. The records of a file are read without opening it, and compared with
//! this program. Then a private copy of exactly the checked bytes is opened, the type layouts of both sides
//! are compared, and the plugin receives its services. Finally, what the running code lists must equal the
//! records. Each refusal is one [`Refusal`] with the file, the rule, what was found, and what to do.
//!
//! A library is never unloaded, because any live object may use its code. Opening the same bytes again reuses
//! their mapping.

mod block_reader;
mod builtin;
mod bundled;
mod catalogue;
mod check;
pub mod child;
mod declared;
mod declared_file;
mod dl;
pub mod doctor;
mod dynamic;
mod elf;
mod entry;
mod error;
mod grafted;
mod groups;
mod guard;
mod held_script;
pub mod keys;
mod listing;
pub mod lock;
pub mod locking;
mod manifest;
mod module_file;
mod ownership;
mod places;
pub mod plain;
mod plugin_file;
mod policy;
pub mod probe;
mod project_lock;
pub mod projects;
pub mod quarantine;
mod quote;
mod read;
mod recorded;
mod registry;
mod search;
pub mod services;
pub mod stored;
pub mod survey;
mod swap;
mod verify;

pub use catalogue::Skipped;
pub use declared::INTERPRETER;
pub use dl::{Mapping, mappings};
pub use entry::{Entry, PluginInfo};
pub use error::{LookupError, Refusal, RegistryError, Rule};
pub use listing::{EntryRow, Listing, RefusedRow, State};
pub use manifest::Manifest;
pub use policy::Policy;
pub use probe::Judged;
pub use quote::quoted;
pub use read::hash_of;
pub use registry::Registry;
pub use search::{Origin, Place, SearchPath};
pub use swap::{Committed, MOST_GENERATIONS, Staged};
pub use verify::{Trust, refuse_others};
