//! Wrong modules and settings, and the schema of the settings.

use crate::modules::{build_from, config, entry, file};
use kasmina_plugin_api::ErrorKind;
use serde_json::{Value, json};
use std::fmt::Write as _;

#[test]
fn each_refusal_names_its_reason() {
    let dir = tempfile::tempdir().unwrap();
    let whole = std::fs::read(file("resnet")).unwrap();
    let bad = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        json!({ "module": path, "sample": [1, 8, 8] }).to_string()
    };
    let mut hollow = whole.clone();
    let middle = whole.len() / 2;
    hollow[middle..middle + 2000].fill(0);
    let text = json!({ "sample": [6], "tokens": true });
    let with = |more: &Value, slot: &str| {
        let mut more = more.clone();
        more["slots"] = json!([slot]);
        more
    };
    let cases = [
        ("default", String::new()),
        ("no sample", json!({ "module": file("resnet") }).to_string()),
        ("unknown setting", config("resnet", &json!({ "slot": ["stem"] }))),
        ("missing", json!({ "module": dir.path().join("none.pt"), "sample": [1, 8, 8] }).to_string()),
        ("text", bad("text.pt", b"weights")),
        ("cut off", bad("cut.pt", &whole[..whole.len() - 400])),
        ("no module in it", bad("empty.pt", &zip())),
        ("no forward", config("nameless", &json!({}))),
        ("two inputs", config("two_inputs", &json!({}))),
        ("wrong sample", config("resnet", &json!({ "sample": [3, 8, 8] }))),
        ("wrong rank", config("resnet", &json!({ "sample": [8] }))),
        ("unmatched", config("resnet", &json!({ "slots": ["layer9"] }))),
        ("unmatched pattern", config("resnet", &json!({ "slots": ["stem", "layer?.*.act"] }))),
        ("no map", config("resnet", &json!({ "slots": ["fc"] }))),
        ("no map by pattern", config("resnet", &json!({ "slots": ["f*"] }))),
        ("twice", config("shared", &json!({ "slots": ["twice"] }))),
        ("maybe", config("shared", &json!({ "slots": ["maybe"] }))),
        ("tuple", config("pair", &json!({ "slots": ["halves"] }))),
        ("tuple of a layer", config("recurrent", &with(&text, "lstm"))),
        ("overwritten", config("inplace", &json!({ "slots": ["norm"] }))),
        ("frozen", config("frozen", &json!({}))),
        ("floats for tokens", config("transformer", &json!({ "sample": [6] }))),
    ];
    let mut said = String::new();
    for (name, config) in cases {
        let error = build_from(&config).expect_err(name).to_string();
        let error = error.replace(file("").parent().unwrap().to_str().unwrap(), "FIXTURES");
        writeln!(said, "{name}:\n    {}", error.replace(dir.path().to_str().unwrap(), "DIR")).unwrap();
    }
    // Columns depend on the length of the path of this checkout.
    insta::with_settings!({ filters => vec![(r"column \d+", "column [N]")] }, {
        insta::assert_snapshot!(said);
    });
    let damaged = build_from(&bad("hollow.pt", &hollow)).unwrap_err();
    assert_eq!(damaged.kind, ErrorKind::Config);
    assert!(damaged.message.contains("it is not a module written by torch.jit.save: "), "{damaged}");
    // No module is needed to check a configuration or to list the host.
    assert!(entry().check_config("").is_ok());
    assert_eq!(entry().record().capabilities, ["not_capturable"]);
    insta::assert_json_snapshot!("the_schema", entry().schema());
}

/// A valid zip archive with one empty entry.
fn zip() -> Vec<u8> {
    let name = b"a/data";
    let mut bytes = b"PK\x03\x04\x14\0\0\0\0\0\0\0\0\0".to_vec();
    bytes.extend([0; 12]);
    bytes.extend([6, 0, 0, 0]);
    bytes.extend(name);
    let directory = bytes.len() as u32;
    bytes.extend(b"PK\x01\x02\x14\0\x14\0\0\0\0\0\0\0\0\0");
    bytes.extend([0; 12]);
    bytes.extend([6, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    bytes.extend(name);
    let length = bytes.len() as u32 - directory;
    bytes.extend(b"PK\x05\x06\0\0\0\0\x01\0\x01\0");
    bytes.extend(length.to_le_bytes());
    bytes.extend(directory.to_le_bytes());
    bytes.extend([0, 0]);
    bytes
}
