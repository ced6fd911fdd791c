//! What several subcommands print alike.

use crate::failure::Failure;
use serde::Serialize;

/// A value as JSON on standard output.
pub(crate) fn print_json(value: &impl Serialize) -> Result<(), Failure> {
    outln!("{}", serde_json::to_string_pretty(value).map_err(Failure::new)?);
    Ok(())
}

/// Topologies for people; `all` where nothing is named.
pub(super) fn topologies(named: &[String]) -> String {
    if named.is_empty() { "all".to_owned() } else { named.join(",") }
}
