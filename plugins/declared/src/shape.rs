//! Shapes as far as they are known before there is a tensor: channels as numbers, the rest as letters.

use crate::ops::Op;
use std::fmt;

/// The features of one layer; the batch is not looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) space: Space,
    pub(crate) channels: i64,
    pub(crate) extent: Extent,
}

/// Kind of the positions of features: pixels or tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Space {
    /// `[N, C, H, W]`.
    Map,
    /// `[N, T, C]`.
    Sequence,
}

/// How many positions there are, in each direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    /// The slot's own, divided by this and rounded up. Rounding up composes: a half of a half is a quarter.
    Part(i64),
    /// One position.
    One,
}

impl Space {
    /// Whether an operation works on these features.
    pub(crate) fn known_to(self, op: &Op) -> bool {
        match self {
            Self::Map => op.maps,
            Self::Sequence => op.sequences,
        }
    }
}

impl Shape {
    /// The features of a slot.
    pub(crate) fn slot(space: Space, channels: i64) -> Self {
        Self { space, channels, extent: Extent::Part(1) }
    }

    /// As often as not, only the channels change.
    pub(crate) fn with_channels(self, channels: i64) -> Self {
        Self { channels, ..self }
    }

    /// After a step of `stride`; `None` where that is no sensible number any more.
    pub(crate) fn strided(self, stride: i64) -> Option<Self> {
        let extent = match self.extent {
            Extent::One => Extent::One,
            Extent::Part(part) => Extent::Part(part.checked_mul(stride).filter(|part| *part <= 1 << 16)?),
        };
        Some(Self { extent, ..self })
    }

    /// The shape of a sum or product: one channel, and one position, stand for all.
    pub(crate) fn joined(self, other: Self) -> Option<Self> {
        let channels = match (self.channels, other.channels) {
            (a, b) if a == b => a,
            (1, b) => b,
            (a, 1) => a,
            _ => return None,
        };
        let extent = match (self.extent, other.extent) {
            (a, b) if a == b => a,
            (Extent::One, b) => b,
            (a, Extent::One) => a,
            _ => return None,
        };
        Some(Self { channels, extent, ..self })
    }

    /// How many of a slot's positions there are here, times `count`, rounded up.
    pub(crate) fn of_positions(self, count: u64) -> u64 {
        match self.extent {
            Extent::Part(part) => count.div_ceil(part.unsigned_abs().pow(2).max(1)),
            // One position of many: nothing, per position.
            Extent::One => 0,
        }
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let c = self.channels;
        match (self.space, self.extent) {
            (Space::Sequence, _) => write!(f, "[N, T, {c}]"),
            (Space::Map, Extent::One) => write!(f, "[N, {c}, 1, 1]"),
            (Space::Map, Extent::Part(1)) => write!(f, "[N, {c}, H, W]"),
            (Space::Map, Extent::Part(k)) => write!(f, "[N, {c}, H/{k}, W/{k}]"),
        }
    }
}

#[cfg(test)]
mod spec {
    use super::{Extent, Shape, Space};

    #[test]
    fn one_stands_for_all() {
        let full = Shape::slot(Space::Map, 8);
        let factor = Shape { extent: Extent::One, ..full };
        assert_eq!(full.joined(factor), Some(full));
        assert_eq!(full.with_channels(1).joined(factor), Some(full));
        assert_eq!(full.joined(full.with_channels(4)), None);
        assert_eq!(full.strided(2).and_then(|half| half.joined(full)), None);
    }

    #[test]
    fn strides_multiply() {
        let shape = Shape::slot(Space::Map, 8).strided(2).and_then(|s| s.strided(3));
        assert_eq!(shape.map(|s| s.to_string()).as_deref(), Some("[N, 8, H/6, W/6]"));
        assert_eq!(shape.map(|s| s.of_positions(72)), Some(2));
        assert_eq!(Shape::slot(Space::Map, 8).strided(1 << 20), None);
    }
}
