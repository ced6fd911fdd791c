//! `kasmina plugins`.

use crate::args::{PluginsArgs, PluginsVerb};
use crate::failure::Failure;
use crate::table;
use kasmina_registry::{Listing, Registry, SearchPath, Trust};

pub(crate) fn run(args: &PluginsArgs) -> Result<(), Failure> {
    let PluginsVerb::List { plugin_path, json } = &args.verb;
    let listing = Registry::load(&SearchPath::standard(plugin_path))?.listing();
    if *json {
        outln!("{}", serde_json::to_string_pretty(&listing).map_err(Failure::new)?);
    } else {
        print(&listing);
    }
    Ok(())
}

fn print(listing: &Listing) {
    let header = ["KIND", "ID", "PLUGIN", "VERSION", "TRUST", "TOPOLOGIES", "SUMMARY"];
    let mut rows = table::table(&header, &[]);
    for entry in &listing.entries {
        let topologies =
            if entry.topologies.is_empty() { "all".to_owned() } else { entry.topologies.join(",") };
        let trust = match entry.trust {
            Trust::BuiltIn => "built-in",
            _ => "unsigned",
        };
        rows.add_row([
            entry.kind.as_str(),
            &entry.id,
            &entry.plugin,
            &entry.version,
            trust,
            &topologies,
            &entry.summary,
        ]);
    }
    table::print(&rows);
    for refused in &listing.refused {
        outln!();
        outln!("not loaded: {} ({})", refused.path.display(), refused.rule);
        outln!("  {}", refused.found);
        outln!("  help: {}", refused.remedy);
    }
}
