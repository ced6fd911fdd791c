//! One rank's vote about one slot, and its packed form.

use crate::lifecycle::{Gate, Stage};
use kasmina_torch_ext::rng::derive_seed;
use std::fmt;

/// Number of 64-bit words of a packed ballot.
pub(super) const WORDS: usize = 5;

/// Action that the ranks vote on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Action {
    /// No decision is due at this slot.
    Nothing,
    /// Evaluate this gate.
    Gate(Gate),
    /// Apply the rules that depend on time alone: those of HOLDING, the end of a scheduled prune, a cooldown.
    Rules,
    /// Germinate a seed.
    Germinate,
    /// Prune a seed.
    Prune,
    /// Schedule a prune: alpha ramps down first.
    SchedulePrune,
    /// Set another alpha target.
    SetAlphaTarget,
    /// Force alpha while a guard lives.
    ForceAlpha,
    /// Swap in another build of a plugin.
    Swap,
}

impl Action {
    const ALL: [Self; 14] = [
        Self::Nothing,
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
        Self::ALL.iter().position(|action| *action == self).unwrap_or(0) as u64
    }
}

/// One rank's vote about one slot: the state that it sees there, and its verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ballot {
    /// Number of training steps completed so far.
    pub step: u64,
    /// Name of the slot.
    pub slot: String,
    /// Id of the seed in the slot, or of the one that is to germinate there.
    pub seed_id: Option<String>,
    /// Stage of the slot before the decision.
    pub from: Stage,
    /// Action that the ranks vote on.
    pub action: Action,
    /// The decision in full: the command with its numbers, or the current alpha. Ranks whose subjects differ
    /// are out of step.
    pub subject: String,
    /// Whether this rank votes for the decision.
    pub verdict: bool,
    /// Whether this rank can carry out the common decision, whichever it is.
    pub able: bool,
}

impl Ballot {
    pub(super) fn pack(&self) -> Packed {
        let name = |name: &str| derive_seed(0, &[name]);
        let seed = self.seed_id.as_deref().map_or(0, name);
        let stage_and_action = u64::from(self.from.code()) | self.action.code() << 8;
        let flags = stage_and_action | u64::from(self.verdict) << 16 | u64::from(self.able) << 17;
        Packed([self.step, name(&self.slot), seed, name(&self.subject), flags])
    }
}

/// A packed ballot. Words: step, hashes of slot, seed id and subject, then the flags.
///
/// Flags: stage in bits 0 to 7, action in bits 8 to 15, verdict in bit 16, able in bit 17.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Packed(pub(super) [u64; WORDS]);

impl Packed {
    /// Splits a message into its ballots; `None` if its length is not a multiple of [`WORDS`].
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

    /// Whether both ballots vote on the same decision in the same state; verdict and `able` may differ.
    pub(super) fn is_about(self, other: Self) -> bool {
        self.0[..4] == other.0[..4] && self.0[4] & 0xffff == other.0[4] & 0xffff
    }
}

impl fmt::Display for Packed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [step, _, seed, subject, flags] = self.0;
        let stage = Stage::ALL.into_iter().find(|s| u64::from(s.code()) == flags & 0xff);
        let stage = stage.map_or("unknown", Stage::as_str);
        match seed {
            0 => write!(f, "no seed in stage {stage}")?,
            // Ranks exchange hashes instead of names; equal names have equal hashes on every rank.
            seed => write!(f, "seed #{:06x} in stage {stage}", seed & 0xff_ffff)?,
        }
        match Action::ALL.get((flags >> 8 & 0xff) as usize) {
            Some(Action::Nothing) | None => write!(f, " and votes on nothing")?,
            Some(Action::Gate(gate)) => write!(f, " and votes on {gate}")?,
            Some(action) => write!(f, " and votes on {action:?}")?,
        }
        write!(f, " (subject #{:06x}) at step {step}", subject & 0xff_ffff)
    }
}
