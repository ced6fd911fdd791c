//! The published schema and the guide's reference are up to date with the code. `KASMINA_BLESS=1` rewrites
//! them.

use std::fs;

/// Compares a file with its expected contents, or writes them if `KASMINA_BLESS` is set.
fn assert_up_to_date(path: &str, expected: &str) {
    let path = format!("{}/{path}", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("KASMINA_BLESS").is_some() {
        fs::write(&path, expected).unwrap();
    }
    let written = fs::read_to_string(&path).unwrap();
    assert!(written == expected, "{path} is out of date; run this test with KASMINA_BLESS=1");
}

#[test]
fn the_schema_is_up_to_date() {
    let schema = serde_json::to_string_pretty(&kasmina_declared::schema::document()).unwrap();
    assert_up_to_date("blueprint.schema.json", &format!("{schema}\n"));
}

#[test]
fn the_guide_s_reference_is_up_to_date() {
    const PAGE: &str = "../../docs/guide/declared.md";
    let text = fs::read_to_string(format!("{}/{PAGE}", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let (before, rest) =
        text.split_once("<!-- reference: generated -->\n").expect("the page has the mark of the reference");
    let (_, after) =
        rest.split_once("<!-- end of reference -->").expect("the page has the end of the reference");
    let reference = kasmina_declared::schema::reference();
    assert_up_to_date(
        PAGE,
        &format!("{before}<!-- reference: generated -->\n{reference}<!-- end of reference -->{after}"),
    );
}

/// The documents in the guide can be loaded.
#[test]
fn the_guide_s_documents_are_valid() {
    let text = include_str!("../../../../docs/guide/declared.md");
    let blocks: Vec<&str> = text
        .split("```toml\n")
        .skip(1)
        .filter_map(|rest| rest.split_once("\n```"))
        .map(|(block, _)| block)
        .collect();
    let whole: Vec<&&str> =
        blocks.iter().filter(|b| b.contains("[blueprint]") && b.contains("[[layer]]")).collect();
    assert!(!whole.is_empty(), "the guide shows a document");
    for block in whole {
        crate::common::read(block, &serde_json::json!({})).unwrap_or_else(|error| panic!("{error}\n{block}"));
    }
}
