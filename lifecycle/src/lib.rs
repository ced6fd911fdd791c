//! The lifecycle of a seed: a pure state machine without tensors, clock, files or randomness.
//!
//! The inputs are numbers (accuracies, gradient norms, contributions), the outputs are decisions and events.
//! So the machine can be property-tested, fuzzed and replayed without libtorch. The crate `kasmina` does the
//! tensor work around it. Run directories store the types of this crate.
//!
//! ```
//! use kasmina_lifecycle::{BlendPlan, Germination, Lifecycle, Settings, Stage};
//!
//! let mut slot = Lifecycle::new("early", "cnn", Settings::default());
//! slot.germinate(Germination::new("s1", "conv_light", BlendPlan::new("linear")))?;
//! slot.record_validation(50.0)?;
//! slot.step_epoch();
//! assert_eq!(slot.stage(), Stage::Training);
//! # Ok::<(), kasmina_lifecycle::Refusal>(())
//! ```

#![forbid(unsafe_code)]

mod alpha;
mod bounds;
mod command;
mod curve;
mod event;
mod gate;
mod inputs;
mod judge;
mod machine;
mod measure;
mod metrics;
pub mod operation;
mod refusal;
mod request;
pub mod script;
mod settings;
mod stage;
mod state;
mod step;
mod task;
mod units;

pub use alpha::{AlphaController, AlphaMode};
pub use bounds::{SettingsError, check_bounds};
pub use command::{Command, Executed, Germinate};
pub use curve::Curve;
pub use event::{Event, EventKind, Initiator};
pub use gate::{Check, Gate, GateResult, QualityGates};
pub use inputs::{Intervene, Intervention, SlotInputs};
pub use machine::Lifecycle;
pub use metrics::{GradientCapture, SeedMetrics};
pub use operation::Operation;
pub use refusal::{Refusal, RefusalCode};
pub use settings::{Isolation, Settings};
pub use stage::Stage;
pub use state::{BlendPlan, Germination, LifecycleState, Outcome, SeedState};
pub use task::{AlphaSettings, TaskConfig, TempoUnit};
pub use units::{Accuracy, Percent, any_number, any_number_or_none, any_numbers};
