//! Scripts: a slot, its settings and a list of operations, as JSON. A run returns one line per operation.
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

/// A parsed and checked script.
#[derive(Debug, Clone, PartialEq)]
pub struct Script {
    slot_id: String,
    topology: String,
    settings: Settings,
    /// Operations with their names in scripts.
    operations: Vec<(&'static str, Operation)>,
}

impl Script {
    /// Creates the lifecycle of the script's slot, before any operation.
    pub fn slot(&self) -> Lifecycle {
        Lifecycle::new(self.slot_id.clone(), self.topology.clone(), self.settings.clone())
    }

    /// Operations in order.
    pub fn operations(&self) -> impl Iterator<Item = &Operation> {
        self.operations.iter().map(|(_, operation)| operation)
    }

    /// Applies all operations to a new slot, one per line that the iterator returns.
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
