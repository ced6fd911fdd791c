//! `kasmina plugins trust`.

use super::args::{TrustArgs, TrustVerb};
use super::output::print_json;
use crate::failure::Failure;
use crate::table;
use kasmina_registry::keys::Keys;

pub(crate) fn run(args: &TrustArgs) -> Result<(), Failure> {
    let keys = Keys::of_user().ok_or_else(|| {
        Failure::new("there is no place for trusted keys").with_help("set HOME, or XDG_CONFIG_HOME")
    })?;
    match &args.verb {
        TrustVerb::Add { name, key } => {
            let text = match std::fs::read_to_string(key) {
                Ok(text) => text,
                Err(_) => key.clone(),
            };
            let added = keys.add(name, &text)?;
            outln!("`{}` is trusted from now on: {}", added.name, added.key);
            outln!(
                "Compare that key with the one that its owner publishes. What is signed by it runs as you."
            );
        }
        TrustVerb::List { json: true } => print_json(&keys.list()?)?,
        TrustVerb::List { json: false } => {
            let all = keys.list()?;
            if all.is_empty() {
                outln!("no keys are trusted");
                return Ok(());
            }
            let mut rows = table::table(&["NAME", "KEY"], &[]);
            for key in all {
                rows.add_row([key.name, key.key]);
            }
            table::print(&rows);
        }
        TrustVerb::Remove { name } => {
            let removed = keys.remove(name)?;
            outln!("`{}` is trusted no more: {}", removed.name, removed.key);
        }
    }
    Ok(())
}
