//! The morphogenetic model: a host network, its slots, and the only interface that changes its structure.
//!
//! A training step is `forward` → loss → backward →
//! [`capture_gradients`](MorphogeneticModel::capture_gradients) → optimizer step. A [`Stepper`] does all of
//! this in one call, and on a GPU as one launch of a captured CUDA graph. A training loop without a stepper
//! must hold [`kasmina_torch_ext::cuda::graph::backward`] around its backward if a stepper on another thread
//! may be capturing.
//!
//! At the end of an epoch, call [`forward_counterfactual`](MorphogeneticModel::forward_counterfactual) over
//! the validation data, [`record_epoch`](MorphogeneticModel::record_epoch) and
//! [`step_epoch`](MorphogeneticModel::step_epoch), then execute [`Command`]s with
//! [`execute`](MorphogeneticModel::execute).

mod build;
mod command_code;
mod config;
mod counterfactual;
mod epoch;
mod error;
mod event_sink;
mod events;
mod force;
mod frozen;
mod growth;
mod isolation;
mod keep;
mod morphogenetic;
mod network;
mod ownership;
mod precision;
mod relocate;
mod report;
mod slots;
mod step;
mod structure;
mod swapping;
mod telemetry;

pub use crate::lifecycle::{Command, Executed, Germinate, Intervene, Intervention, SlotInputs};
pub use command_code::CommandCode;
pub use config::ModelConfig;
pub use counterfactual::CounterfactualPlan;
pub use epoch::{EpochInputs, SlotOutcomes};
pub use error::{CommandError, ModelError};
pub use event_sink::EventSink;
pub use force::ForcedAlpha;
pub use growth::PrefetchState;
pub use keep::ModelState;
pub use morphogenetic::MorphogeneticModel;
pub use network::HOST_OWNER;
pub use ownership::{Owner, OwnershipError, ParameterRegistry};
pub use precision::Precision;
pub use report::SlotReport;
pub use step::{GradientReduction, Loss, StepCounts, Stepper};
pub use swapping::{PanicPolicies, PanicPolicy, Recovered, TrialSettings};
