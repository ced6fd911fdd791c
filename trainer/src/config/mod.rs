//! The configuration of a run. Every field has a default; the resolved configuration is written into the run
//! directory.

mod checkpoint;
mod compute;
mod data;
mod faults;
mod germination;
mod growth;
mod host;
mod init;
mod optimizer;
mod plugins;
mod preinstalled;
mod ranks;
mod run;
mod validate;

pub use checkpoint::CheckpointConfig;
pub use compute::{ComputeConfig, Convolutions};
pub use data::DataConfig;
pub(crate) use data::at_most;
pub use faults::OnNonFinite;
pub(crate) use germination::bare_id;
pub use growth::GrowthConfig;
pub use host::HostConfig;
pub use init::{InitConfig, WeightNames};
pub use optimizer::OptimizerConfig;
pub use plugins::PluginsConfig;
pub use preinstalled::PreinstalledSeed;
pub use ranks::{BatchNormRanks, Compression, RanksConfig};
pub use run::RunConfig;
