//! Kasmina grows neural networks while they train.
//!
//! Small modules (*seeds*) sit in slots at a host network's injection points. They germinate, learn behind a
//! straight-through estimator without touching the host's output, blend in by alpha, and are fossilized for
//! good or pruned; each step is guarded by a quality gate.
//!
//! * [`lifecycle`]: the pure state machine that decides
//! * [`graft`]: the tensor work of one slot
//! * [`consensus`]: how several ranks come to one decision
//! * [`state`]: what lasts between two steps, to be kept elsewhere and given back
//! * [`model`]: a host with its slots, and the one door through which structure changes
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
