//! What is written down for editors and readers is what the code says. `KASMINA_BLESS=1` writes it anew.

use std::fs;

fn held(path: &str, expected: &str) {
    let path = format!("{}/{path}", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("KASMINA_BLESS").is_some() {
        fs::write(&path, expected).unwrap();
    }
    let written = fs::read_to_string(&path).unwrap();
    assert!(written == expected, "{path} is out of date; run this test with KASMINA_BLESS=1");
}

#[test]
fn the_schema_is_that_of_the_table() {
    let schema = serde_json::to_string_pretty(&kasmina_declared::schema::document()).unwrap();
    held("blueprint.schema.json", &format!("{schema}\n"));
}

#[test]
fn the_guide_s_reference_is_the_table() {
    const PAGE: &str = "../../docs/guide/declared.md";
    let text = fs::read_to_string(format!("{}/{PAGE}", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let (before, rest) =
        text.split_once("<!-- reference: generated -->\n").expect("the mark of the reference");
    let (_, after) = rest.split_once("<!-- end of reference -->").expect("the end of the reference");
    let reference = kasmina_declared::schema::reference();
    held(
        PAGE,
        &format!("{before}<!-- reference: generated -->\n{reference}<!-- end of reference -->{after}"),
    );
}

/// The documents that the guide shows can be loaded.
#[test]
fn the_guide_s_documents_are_good() {
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
