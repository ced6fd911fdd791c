//! No text makes the reader panic, and documents that are a little wrong are told so or are right.

use crate::common::{Grown, read, site};
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

/// A message says which file, or which place in it.
fn judged(text: &str) -> Result<(), TestCaseError> {
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
        judged(&text)?;
    }

    #[test]
    fn any_text_of_the_right_letters(text in "[\\[\\]a-z\"=\n0-9. _{},#]{0,120}") {
        judged(&text)?;
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
        judged(&mutated)?;
    }

    #[test]
    fn a_document_with_lines_moved(which in 0usize..4, from in any::<prop::sample::Index>(), to in any::<prop::sample::Index>()) {
        let mut lines: Vec<&str> = VALID[which].lines().collect();
        let (from, to) = (from.index(lines.len()), to.index(lines.len()));
        let line = lines.remove(from);
        lines.insert(to.min(lines.len()), line);
        judged(&lines.join("\n"))?;
    }

    /// What is accepted at load is built, or said not to fit this slot.
    #[test]
    fn what_is_accepted_is_built(width in -3i64..40, squeeze in -2i64..9, channels in 1i64..20) {
        let text = format!(
            "[blueprint]\nid = \"a\"\nsummary = \"a\"\n[parameters]\ns = {squeeze}\n[[layer]]\nop = \"linear\"\n\
             channels = \"{width} - C / s\"\n[[layer]]\nop = \"linear\"\nchannels = \"C\"\n"
        );
        if let Ok(config) = read(&text, &json!({}))
            && let Err(error) = Grown::new(config, &site(Topology::TRANSFORMER, channels))
        {
            prop_assert_eq!(error.kind, kasmina_plugin_api::ErrorKind::Unsupported);
        }
    }
}

/// Deep nesting ends in a message and not at the end of the stack.
#[test]
fn depth_is_bounded() {
    let nested = "[".repeat(20_000);
    judged(&format!("a = {nested}")).unwrap();
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
