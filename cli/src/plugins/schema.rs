//! `kasmina plugins schema`: the one question about a plugin that only its own code can answer.

use super::args::Access;
use super::output::print_json;
use crate::failure::Failure;
use kasmina_plugin_api::Kind;
use kasmina_registry::{LookupError, Registry, RegistryError};

pub(crate) fn run(id: &str, access: &Access) -> Result<(), Failure> {
    let registry = Registry::load(&access.search(), &access.policy())?;
    let mut unknown = None;
    for kind in [Kind::Blueprint, Kind::Blend, Kind::Host] {
        match registry.resolve(kind, id) {
            Ok(entry) => return print_json(entry.schema()),
            Err(error) if is_ambiguous(&error) => return Err(error.into()),
            Err(error) => unknown = Some(error),
        }
    }
    let known: Vec<String> = registry.entries().iter().map(kasmina_registry::Entry::full_name).collect();
    let failure = Failure::new(format!("no entry `{id}`; there are {}", known.join(", ")));
    Err(match unknown.and_then(|error| error.help()) {
        Some(help) => failure.with_help(help),
        None => failure,
    })
}

fn is_ambiguous(error: &RegistryError) -> bool {
    matches!(error, RegistryError::Lookup(LookupError::Ambiguous { .. }))
}
