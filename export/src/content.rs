//! What an export contains.

use crate::Structure;
use kasmina_trainer::run::SavedNetwork;
use kasmina_trainer::task::Interface;
use serde_json::Value;

/// A network to be exported.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Content<'a> {
    pub(crate) saved: &'a SavedNetwork,
    pub(crate) network: &'a Structure,
    pub(crate) interface: &'a Interface,
}

/// Returns a value as the text of a JSON file.
pub(crate) fn json_text(value: &Value) -> String {
    format!("{value:#}\n")
}
