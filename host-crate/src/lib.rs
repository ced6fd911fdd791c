//! Kasmina grows neural networks while they train.
//!
//! Small modules (*seeds*) sit in slots at a host network's injection points. They germinate, learn behind a
//! straight-through estimator without changing the host's output, are blended in by alpha, and are then
//! fossilized (kept for good) or pruned (removed). A quality gate guards each transition.
//!
//! * [`lifecycle`]: the pure state machine of one slot, with its gates
//! * [`graft`]: the tensor work of one slot
//! * [`consensus`]: how several ranks agree on one decision
//! * [`state`]: everything that a model must save between two training steps, and how it is restored
//! * [`model`]: a host with its slots, and the only interface that changes its structure
//!
//! The core does no IO, runs no training loop, and never decides when to grow.

#![forbid(unsafe_code)]

mod blend_catalog;
pub mod consensus;
pub mod graft;
pub mod model;
pub mod state;

pub use blend_catalog::BlendCatalog;
pub use kasmina_lifecycle as lifecycle;
pub use model::{Command, CommandError, ModelConfig, ModelError, MorphogeneticModel, SlotReport};
