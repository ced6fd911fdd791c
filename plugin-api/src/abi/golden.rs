//! The whole seam as a text, type by type: a change of it cannot slip in.

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
        open.extend(layout.phantom_fields().iter().map(|f| f.layout()));
        let mut text = format!("size {}, align {}\n", layout.size(), layout.alignment());
        for field in layout.get_fields().iter().flat_map(abi_stable::type_layout::TLFields::iter) {
            describe(&mut text, field, &mut open);
        }
        if layout.package().as_str() == env!("CARGO_PKG_NAME") {
            types.insert(name_of(layout), text);
        }
    }
    types
}

fn name_of(layout: &'static TypeLayout) -> String {
    format!("{}::{}", layout.mod_path(), layout.full_type())
}

fn describe(text: &mut String, field: TLField, open: &mut Vec<&'static TypeLayout>) {
    let functions: Vec<String> =
        field.function_range().iter().map(|f| f.to_string().replace('\n', " ")).collect();
    for function in field.function_range().iter() {
        open.extend(function.get_params().map(|p| p.layout()));
        open.push(function.get_return().layout());
    }
    if functions.is_empty() {
        let _ = writeln!(text, "  {}: {}", field.name(), field.full_type());
    } else {
        let _ = writeln!(text, "  {}: {}", field.name(), functions.join("; "));
    }
    open.push(field.layout());
}

/// Frozen at 1.0: a minor version may add lines at the end of `Root` and of the methods of an object, and nothing else.
#[test]
fn the_seam_is_what_it_was() {
    let all = reachable();
    assert!(all.len() > 15, "{:?}", all.keys());
    let text = all.into_iter().fold(String::new(), |text, (name, is)| format!("{text}{name}\n{is}\n"));
    insta::assert_snapshot!(text);
}
