//! What a run is told; every field has a default, and the resolved whole is written into the run directory.

mod checkpoint;
mod compute;
mod data;
mod faults;
mod germination;
mod growth;
mod host;
mod optimizer;
mod plant;
mod plugins;
mod run;
mod validate;

pub use checkpoint::CheckpointConfig;
pub use compute::{ComputeConfig, Convolutions};
pub use data::DataConfig;
pub(crate) use data::at_most;
pub use faults::OnNonFinite;
pub(crate) use germination::short;
pub use growth::GrowthConfig;
pub use host::HostConfig;
pub use optimizer::OptimizerConfig;
pub use plant::PlantConfig;
pub use plugins::PluginsConfig;
pub use run::RunConfig;
