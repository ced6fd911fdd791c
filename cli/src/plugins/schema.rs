//! `kasmina plugins schema`: the JSON Schema of one entry. It loads only the plugin that contains the entry,
//! in a child process, and none if the entry is built in or its schema is cached.

use super::args::Access;
use crate::failure::Failure;
use crate::terminal;
use kasmina_plugin_api::Kind;
use kasmina_registry::survey::{inspect, survey};
use kasmina_registry::{EntryRow, LookupError, RegistryError, State};

pub(crate) fn run(id: &str, access: &Access) -> Result<(), Failure> {
    let policy = access.policy();
    let survey = survey(&access.search(), &policy)?;
    let listing = survey.listing()?;
    let usable = |row: &&EntryRow| matches!(row.state, State::Loaded | State::Found);
    let full = |row: &EntryRow| format!("{}::{}", row.plugin, row.id);
    let named: Vec<&EntryRow> =
        listing.entries.iter().filter(usable).filter(|row| row.id == id || full(row) == id).collect();
    // The listing is sorted by kind. If a name belongs to several kinds, the first one is used.
    let kind = named.first().map(|row| row.kind.as_str());
    let of_kind: Vec<&EntryRow> =
        named.iter().copied().filter(|row| Some(row.kind.as_str()) == kind).collect();
    // A bare id refers to the built-in entry only if no plugin has an entry with this id.
    let from_plugins: Vec<&EntryRow> = of_kind.iter().copied().filter(|row| row.path.is_some()).collect();
    let row = match (from_plugins.as_slice(), of_kind.as_slice()) {
        ([], [row]) | ([row], _) => *row,
        ([], []) => {
            let names: Vec<String> = listing.entries.iter().filter(usable).map(full).collect();
            let failure = Failure::new(format!("no entry `{id}`; there are {}", names.join(", ")));
            let known = listing.entries.iter().filter(usable).map(|row| row.id.clone()).collect();
            let refused = listing.refused.iter().map(|r| format!("{} ({})", r.path.display(), r.found));
            // The help text does not depend on the kind.
            let (kind, refused) = (Kind::Blueprint, refused.collect());
            let unknown =
                RegistryError::from(LookupError::Unknown { kind, id: id.to_owned(), known, refused });
            return Err(match unknown.help() {
                Some(help) => failure.with_help(help),
                None => failure,
            });
        }
        (rows @ [first, ..], _) | ([], rows @ [first, ..]) => {
            let kind = Kind::parse(&first.kind).unwrap_or(Kind::Blueprint);
            let candidates = rows.iter().map(|row| full(row)).collect();
            return Err(
                RegistryError::from(LookupError::Ambiguous { kind, id: id.to_owned(), candidates }).into()
            );
        }
    };
    if let Some(schema) = &row.config_schema {
        return Ok(terminal::out_json(schema)?);
    }
    let path = row.path.as_deref().ok_or_else(|| Failure::new(format!("`{id}` has no settings")))?;
    let inspected = inspect(path, &policy)?;
    if let Some(refusal) = inspected.refusal.clone() {
        return Err(RegistryError::from(refusal).into());
    }
    let found = inspected.rows().find(|r| r.kind == row.kind && r.id == row.id).and_then(|r| r.config_schema);
    match found {
        Some(schema) => Ok(terminal::out_json(&schema)?),
        None => Err(Failure::new(format!("the schema of `{id}` is not known"))),
    }
}
