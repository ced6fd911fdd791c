//! A snapshot of all type layouts of the plugin interface, so that no change goes unnoticed.

use super::root::RootRef;
use abi_stable::StableAbi;
use abi_stable::type_layout::{TLField, TypeLayout};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Returns the name and layout of every type of this crate that is reachable from the root.
fn reachable() -> BTreeMap<String, String> {
    let (mut types, mut open) = (BTreeMap::new(), vec![RootRef::LAYOUT]);
    let mut seen = std::collections::HashSet::new();
    while let Some(layout) = open.pop() {
        if !seen.insert(layout.get_utypeid()) {
            continue;
        }
        // The types of its fields, and of the parameters and results of functions in its fields.
        open.extend(layout.shared_vars().type_layouts().iter().map(|layout| layout()));
        let mut text = format!("size {}, align {}\n", layout.size(), layout.alignment());
        for field in layout.get_fields().iter().flat_map(abi_stable::type_layout::TLFields::iter) {
            describe(&mut text, field);
        }
        if layout.package().as_str() == env!("CARGO_PKG_NAME") {
            let uses = layout.shared_vars().type_layouts().iter().map(|layout| type_text(layout(), 2));
            let _ = writeln!(text, "  of {}", uses.collect::<Vec<_>>().join(", "));
            types.insert(name_of(layout), text);
        }
    }
    types
}

fn name_of(layout: &'static TypeLayout) -> String {
    format!("{}::{}", layout.mod_path(), layout.full_type())
}

/// Returns the name of a type, and for types of other crates, down to `depth`, the names of its parts.
fn type_text(layout: &'static TypeLayout, depth: u32) -> String {
    let name = layout.full_type().to_string();
    let parts = layout.shared_vars().type_layouts();
    if depth == 0 || parts.is_empty() || layout.package().as_str() == env!("CARGO_PKG_NAME") {
        return name;
    }
    let parts: Vec<String> = parts.iter().map(|part| type_text(part(), depth - 1)).collect();
    format!("{name}({})", parts.join(", "))
}

fn describe(text: &mut String, field: TLField) {
    // The lines after the first contain only lifetimes.
    let signature = |text: String| text.lines().next().unwrap_or_default().to_owned();
    let functions: Vec<String> = field.function_range().iter().map(|f| signature(f.to_string())).collect();
    if functions.is_empty() {
        let _ = writeln!(text, "  {}: {}", field.name(), field.full_type());
    } else {
        let _ = writeln!(text, "  {}: {}", field.name(), functions.join("; "));
    }
}

/// The interface is frozen at 1.0. A minor version may only add lines at the end of `Root`, and at the end of
/// the methods of an object.
#[test]
fn the_plugin_interface_is_unchanged() {
    let all = reachable();
    assert!(all.len() > 15, "{:?}", all.keys());
    let text =
        all.into_iter().fold(String::new(), |text, (name, layout)| format!("{text}{name}\n{layout}\n"));
    insta::assert_snapshot!(text);
}
