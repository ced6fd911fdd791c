//! The guide contains the current table of checks.

use std::path::Path;

#[test]
fn the_guide_has_every_check() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/guide/testing.md");
    let guide = std::fs::read_to_string(path).unwrap();
    let table = kasmina_testkit::table();
    assert!(guide.contains(&table), "put this table into docs/guide/testing.md:\n\n{table}");
}
