//! What one rank says of one slot, and how it is packed.

use crate::lifecycle::{Gate, Stage};
use kasmina_torch_ext::rng::derive_seed;
use std::fmt;

/// Words of a packed ballot.
pub(super) const WORDS: usize = 5;

/// What is to be decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Act {
    /// Nothing is asked here now.
    Rest,
    /// Evaluating this gate.
    Gate(Gate),
    /// What time does by itself: the rules of HOLDING, the end of a scheduled prune, a cooldown.
    Rules,
    /// Germinating a seed.
    Germinate,
    /// Pruning a seed.
    Prune,
    /// Scheduling a prune: alpha ramps down first.
    SchedulePrune,
    /// Setting another alpha target.
    SetAlphaTarget,
    /// Alpha forced for a while.
    ForceAlpha,
    /// Another build of a plugin.
    Swap,
}

impl Act {
    const ALL: [Self; 14] = [
        Self::Rest,
        Self::Gate(Gate::G0),
        Self::Gate(Gate::G1),
        Self::Gate(Gate::G2),
        Self::Gate(Gate::G3),
        Self::Gate(Gate::G4),
        Self::Gate(Gate::G5),
        Self::Rules,
        Self::Germinate,
        Self::Prune,
        Self::SchedulePrune,
        Self::SetAlphaTarget,
        Self::ForceAlpha,
        Self::Swap,
    ];

    fn code(self) -> u64 {
        Self::ALL.iter().position(|act| *act == self).unwrap_or(0) as u64
    }
}

/// Where one rank stands in one slot, and what it would decide there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ballot {
    /// Training steps that were completed before.
    pub step: u64,
    /// Name of the slot.
    pub slot: String,
    /// The seed that lives or is to live there.
    pub seed_id: Option<String>,
    /// The stage that it would leave.
    pub from: Stage,
    /// Decision that the ranks vote on.
    pub act: Act,
    /// The same in full: the command, or where alpha stands. Ranks whose questions differ here are out of
    /// step.
    pub subject: String,
    /// Whether this rank is for it.
    pub verdict: bool,
    /// Whether this rank can do what the ranks decide, whatever that is.
    pub able: bool,
}

impl Ballot {
    pub(super) fn pack(&self) -> Packed {
        let name = |name: &str| derive_seed(0, &[name]);
        let seed = self.seed_id.as_deref().map_or(0, name);
        let asked = u64::from(self.from.code()) | self.act.code() << 8;
        let flags = asked | u64::from(self.verdict) << 16 | u64::from(self.able) << 17;
        Packed([self.step, name(&self.slot), seed, name(&self.subject), flags])
    }
}

/// A ballot as it travels: step, slot, seed, subject, and (stage, act, verdict, able).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Packed(pub(super) [u64; WORDS]);

impl Packed {
    /// The ballots of a message; `None` if it is not made of whole ones.
    pub(super) fn read(message: &[u64]) -> Option<Vec<Self>> {
        let (ballots, rest) = message.as_chunks::<WORDS>();
        rest.is_empty().then(|| ballots.iter().map(|words| Self(*words)).collect())
    }

    pub(super) fn slot(self) -> u64 {
        self.0[1]
    }

    pub(super) fn verdict(self) -> bool {
        self.0[4] >> 16 & 1 == 1
    }

    pub(super) fn able(self) -> bool {
        self.0[4] >> 17 & 1 == 1
    }

    /// Whether both are about the same question.
    pub(super) fn is_about(self, other: Self) -> bool {
        self.0[..4] == other.0[..4] && self.0[4] & 0xffff == other.0[4] & 0xffff
    }
}

impl fmt::Display for Packed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [step, _, seed, subject, flags] = self.0;
        let stage = Stage::ALL.into_iter().find(|s| u64::from(s.code()) == flags & 0xff);
        let stage = stage.map_or("an unknown stage", Stage::as_str);
        match seed {
            0 => write!(f, "no seed in {stage}")?,
            // Names travel as hashes; the same name has the same one everywhere.
            seed => write!(f, "seed #{:06x} in {stage}", seed & 0xff_ffff)?,
        }
        match Act::ALL.get((flags >> 8 & 0xff) as usize) {
            Some(Act::Rest) | None => write!(f, " asking nothing")?,
            Some(Act::Gate(gate)) => write!(f, " asking {gate}")?,
            Some(act) => write!(f, " asking {act:?}")?,
        }
        write!(f, " (#{:06x}) at step {step}", subject & 0xff_ffff)
    }
}
