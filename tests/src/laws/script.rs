//! Invariants of parsing and running an arbitrary text as a script.

use kasmina::lifecycle::Lifecycle;
use kasmina::lifecycle::script::{Script, ScriptError};

/// Parses a text as a script and, if it is one, runs it. Returns the number of its operations, 0 if it is
/// none.
///
/// # Panics
/// If an invariant is violated.
pub fn script(text: &str) -> usize {
    match text.parse::<Script>() {
        Ok(script) => {
            let operations: Vec<_> = script.operations().cloned().collect();
            let slot: Lifecycle = script.slot();
            super::lifecycle(slot.settings(), slot.topology(), &operations);
            for (index, line) in script.run().enumerate() {
                assert_eq!(line.index, index);
                assert_eq!(line.ok, line.error.is_none());
                let text = serde_json::to_string(&line).expect("lines can be written");
                assert!(!text.contains('\n'));
            }
            operations.len()
        }
        Err(ScriptError::Json(reason)) => {
            assert!(!reason.is_empty() && serde_json::from_str::<serde_json::Value>(text).is_err());
            0
        }
        Err(ScriptError::Field { path, reason }) => {
            assert!(!path.is_empty() && !reason.is_empty());
            0
        }
    }
}
