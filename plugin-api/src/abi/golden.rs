//! The whole plugin interface as a text, type by type: a change of it cannot slip in.

use super::root::RootRef;
use abi_stable::StableAbi;
use abi_stable::type_layout::{TLField, TypeLayout};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Every type of this crate that the root leads to, with what it leads to.
fn reachable() -> BTreeMap<String, String> {
    let (mut types, mut open) = (BTreeMap::new(), vec![RootRef::LAYOUT]);
    let mut seen = std::collections::HashSet::new();
    while let Some(layout) = open.pop() {
        if !seen.insert(layout.get_utypeid()) {
            continue;
        }
        // What its fields and their functions name, parameters and results included.
        open.extend(layout.shared_vars().type_layouts().iter().map(|layout| layout()));
        let mut text = format!("size {}, align {}\n", layout.size(), layout.alignment());
        for field in layout.get_fields().iter().flat_map(abi_stable::type_layout::TLFields::iter) {
            describe(&mut text, field);
        }
        if layout.package().as_str() == env!("CARGO_PKG_NAME") {
            let uses = layout.shared_vars().type_layouts().iter().map(|layout| spelt(layout(), 2));
            let _ = writeln!(text, "  of {}", uses.collect::<Vec<_>>().join(", "));
            types.insert(name_of(layout), text);
        }
    }
    types
}

fn name_of(layout: &'static TypeLayout) -> String {
    format!("{}::{}", layout.mod_path(), layout.full_type())
}

/// A type with what it is made of, where it is one of the generic ones.
fn spelt(layout: &'static TypeLayout, depth: u32) -> String {
    let name = layout.full_type().to_string();
    let parts = layout.shared_vars().type_layouts();
    if depth == 0 || parts.is_empty() || layout.package().as_str() == env!("CARGO_PKG_NAME") {
        return name;
    }
    let parts: Vec<String> = parts.iter().map(|part| spelt(part(), depth - 1)).collect();
    format!("{name}({})", parts.join(", "))
}

fn describe(text: &mut String, field: TLField) {
    // Behind the first line stand lifetimes.
    let signature = |text: String| text.lines().next().unwrap_or_default().to_owned();
    let functions: Vec<String> = field.function_range().iter().map(|f| signature(f.to_string())).collect();
    if functions.is_empty() {
        let _ = writeln!(text, "  {}: {}", field.name(), field.full_type());
    } else {
        let _ = writeln!(text, "  {}: {}", field.name(), functions.join("; "));
    }
}

/// Frozen at 1.0: a minor version may add lines at the end of `Root` and of the methods of an object, and
/// nothing else.
#[test]
fn the_seam_is_what_it_was() {
    let all = reachable();
    assert!(all.len() > 15, "{:?}", all.keys());
    let text = all.into_iter().fold(String::new(), |text, (name, is)| format!("{text}{name}\n{is}\n"));
    insta::assert_snapshot!(text);
}
