//! The reader never panics, and every refusal of a mutated document has a message with a place.

use crate::common::{TestSeed, read, site};
use kasmina_plugin_api::Topology;
use proptest::prelude::*;
use serde_json::json;
use std::fmt::Write as _;

const VALID: [&str; 4] = [
    include_str!("../../examples/squeeze_excite.blueprint.toml"),
    include_str!("../../examples/depthwise_bottleneck.blueprint.toml"),
    include_str!("../../examples/transformer_mlp.blueprint.toml"),
    include_str!("../../examples/causal_attention.blueprint.toml"),
];

/// Checks that a message, if there is one, names the file and has one line.
fn check_message(text: &str) -> Result<(), TestCaseError> {
    if let Err(message) = read(text, &json!({})) {
        prop_assert!(message.starts_with("gates.blueprint.toml:"), "{}", message);
        prop_assert!(!message.contains('\n'), "{}", message);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_text(text in any::<String>()) {
        check_message(&text)?;
    }

    #[test]
    fn any_text_of_the_right_letters(text in "[\\[\\]a-z\"=\n0-9. _{},#]{0,120}") {
        check_message(&text)?;
    }

    #[test]
    fn a_document_with_a_piece_replaced(
        which in 0usize..4,
        at in any::<prop::sample::Index>(),
        length in 0usize..12,
        piece in "[\\[\\]a-zA-Z\"=\n0-9. _/*-]{0,8}",
    ) {
        let text: Vec<char> = VALID[which].chars().collect();
        let start = at.index(text.len());
        let end = (start + length).min(text.len());
        let mutated: String =
            text[..start].iter().copied().chain(piece.chars()).chain(text[end..].iter().copied()).collect();
        check_message(&mutated)?;
    }

    #[test]
    fn a_document_with_lines_moved(which in 0usize..4, from in any::<prop::sample::Index>(), to in any::<prop::sample::Index>()) {
        let mut lines: Vec<&str> = VALID[which].lines().collect();
        let (from, to) = (from.index(lines.len()), to.index(lines.len()));
        let line = lines.remove(from);
        lines.insert(to.min(lines.len()), line);
        check_message(&lines.join("\n"))?;
    }

    /// A document that is accepted when it is loaded can be built, or is unsupported at this slot.
    #[test]
    fn an_accepted_document_can_be_built(width in -3i64..40, squeeze in -2i64..9, channels in 1i64..20) {
        let text = format!(
            "[blueprint]\nid = \"a\"\nsummary = \"a\"\n[parameters]\ns = {squeeze}\n[[layer]]\nop = \"linear\"\n\
             channels = \"{width} - C / s\"\n[[layer]]\nop = \"linear\"\nchannels = \"C\"\n"
        );
        if let Ok(config) = read(&text, &json!({}))
            && let Err(error) = TestSeed::new(config, &site(Topology::TRANSFORMER, channels))
        {
            prop_assert_eq!(error.kind, kasmina_plugin_api::ErrorKind::Unsupported);
        }
    }
}

/// Deep nesting is refused or read without a stack overflow.
#[test]
fn deep_nesting_does_not_overflow_the_stack() {
    let nested = "[".repeat(20_000);
    check_message(&format!("a = {nested}")).unwrap();
    let mut chain = String::new();
    for i in 0..400 {
        writeln!(chain, "[[layer]]\nname = \"l{i}\"\nop = \"identity\"\nfrom = \"l{}\"", i + 1).unwrap();
    }
    let text = format!(
        "[blueprint]\nid = \"a\"\nsummary = \"a\"\n{chain}[[layer]]\nname = \"l400\"\nop = \"identity\"\nfrom = \"input\"\n\
         [output]\nfrom = \"l0\"\n"
    );
    read(&text, &json!({})).unwrap();
}
