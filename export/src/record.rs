//! What an export says of its network, in `config.json` under `kasmina`.

use crate::Structure;
use crate::folding::Folding;
use crate::format::Format;
use kasmina_trainer::config::DataConfig;
use kasmina_trainer::run::SavedNetwork;
use serde::{Deserialize, Serialize};

/// Origin and structure of an exported network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Version of Kasmina that wrote the checkpoint.
    pub version: String,
    /// Id of the task that the network was trained on.
    pub task: String,
    /// How the samples of the task were made. Paths are left out, because the export goes to other machines.
    pub data: DataConfig,
    /// Number of trained epochs.
    pub epoch: u32,
    /// Number of training steps.
    pub step: u64,
    /// Validation score; absent if it is not known.
    pub score: Option<f64>,
    /// Format of the export.
    pub format: Format,
    /// What folding did to the network; absent if it was not folded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folding: Option<Folding>,
    /// Host and seeds.
    #[serde(flatten)]
    pub structure: Structure,
}

impl Record {
    /// Describes a network that is exported.
    pub(crate) fn of(
        saved: &SavedNetwork,
        structure: &Structure,
        folding: Option<&Folding>,
        format: Format,
    ) -> Self {
        let (about, config) = (saved.about(), saved.config());
        Self {
            version: about.version.clone(),
            task: config.task.clone(),
            data: DataConfig { dir: None, text: None, ..config.data.clone() },
            epoch: about.epoch,
            step: about.step,
            score: about.score,
            format,
            folding: folding.cloned(),
            structure: structure.clone(),
        }
    }
}
