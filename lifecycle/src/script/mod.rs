//! Scripts: a slot, its settings and a list of operations, as JSON; one line out per operation.
//!
//! ```
//! use kasmina_lifecycle::script::Script;
//!
//! let script: Script = r#"{"schema": 1, "slot": {"id": "early", "topology": "cnn"},
//!     "ops": [{"op": "validation", "accuracy": 50.0}, {"op": "step_epoch"}]}"#.parse()?;
//! assert!(script.run().all(|line| line.ok && line.state.is_none()));
//! # Ok::<(), kasmina_lifecycle::script::ScriptError>(())
//! ```

mod fields;
mod parse;
mod view;

pub use fields::ScriptError;
pub use view::{Line, MetricsView, StateView};

use super::{Lifecycle, Operation, Settings};

/// A script whose every value was checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Script {
    slot_id: String,
    topology: String,
    settings: Settings,
    /// With the name that each goes by in scripts.
    operations: Vec<(&'static str, Operation)>,
}

impl Script {
    /// A slot as the script wants it, before any operation.
    pub fn slot(&self) -> Lifecycle {
        Lifecycle::new(self.slot_id.clone(), self.topology.clone(), self.settings.clone())
    }

    /// Operations in the order in which they are applied.
    pub fn operations(&self) -> impl Iterator<Item = &Operation> {
        self.operations.iter().map(|(_, operation)| operation)
    }

    /// Drives a fresh slot through all operations.
    pub fn run(&self) -> impl Iterator<Item = Line> {
        let mut slot = self.slot();
        self.operations.iter().enumerate().map(move |(index, (name, operation))| {
            let result = operation.apply(&mut slot);
            Line {
                index,
                op: (*name).to_owned(),
                ok: result.is_ok(),
                error: result.err(),
                events: slot.drain_events(),
                state: StateView::of(&slot),
            }
        })
    }
}
