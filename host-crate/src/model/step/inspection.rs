//! The result of inspecting a step for what a captured graph cannot repeat.

use super::super::{ModelError, MorphogeneticModel};

/// Whether a step may be captured.
#[derive(Debug)]
pub(super) enum Inspection {
    /// It may.
    Passed,
    /// The next step must be inspected again.
    Repeat,
    /// It may not, for this reason.
    Refused(String),
}

impl Inspection {
    /// Returns the strictest result of all ranks, because all capture a step or none does.
    pub(super) fn of_all_ranks(self, model: &mut MorphogeneticModel) -> Result<Self, ModelError> {
        if model.consensus.ranks() == 1 {
            return Ok(self);
        }
        let code = match self {
            Self::Passed => 0,
            Self::Repeat => 1,
            Self::Refused(_) => 2,
        };
        let all = model.consensus.exchange(vec![code])?;
        let strictest = all.iter().flatten().copied().max().unwrap_or(code);
        Ok(match (strictest, self) {
            (2.., Self::Refused(why)) => Self::Refused(why),
            (2.., _) => Self::Refused("another rank cannot capture it".to_owned()),
            (1, _) => Self::Repeat,
            (0, mine) => mine,
        })
    }
}
