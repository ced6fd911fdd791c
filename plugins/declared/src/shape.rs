//! Shapes of features without tensors: channels as numbers, other dimensions relative to the slot's.

use crate::ops::Op;
use std::fmt;

/// Shape of a layer's features, without the batch.
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

/// Number of positions in each direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    /// That of the slot divided by this number, rounded up. (Two such divisions equal one by the product.)
    Part(i64),
    /// One position.
    One,
}

impl Space {
    /// Whether an operation works on these features.
    pub(crate) fn supports(self, op: &Op) -> bool {
        match self {
            Self::Map => op.maps,
            Self::Sequence => op.sequences,
        }
    }
}

impl Shape {
    /// Returns the shape of a slot's features.
    pub(crate) fn slot(space: Space, channels: i64) -> Self {
        Self { space, channels, extent: Extent::Part(1) }
    }

    /// Returns the same shape with other channels.
    pub(crate) fn with_channels(self, channels: i64) -> Self {
        Self { channels, ..self }
    }

    /// Returns the shape after an operation with a stride, or `None` if the product of all strides is too
    /// large.
    pub(crate) fn strided(self, stride: i64) -> Option<Self> {
        let extent = match self.extent {
            Extent::One => Extent::One,
            Extent::Part(part) => Extent::Part(part.checked_mul(stride).filter(|part| *part <= 1 << 16)?),
        };
        Some(Self { extent, ..self })
    }

    /// Returns the shape of a sum or product, in which one channel or one position is broadcast; `None` if
    /// the shapes do not agree.
    pub(crate) fn broadcast(self, other: Self) -> Option<Self> {
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

    /// Converts a cost per position of these features to one per position of the slot, rounded up.
    pub(crate) fn of_positions(self, count: u64) -> u64 {
        match self.extent {
            Extent::Part(part) => count.div_ceil(part.unsigned_abs().pow(2).max(1)),
            // One position costs almost nothing per position of the slot.
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
    fn one_channel_or_position_is_broadcast() {
        let full = Shape::slot(Space::Map, 8);
        let factor = Shape { extent: Extent::One, ..full };
        assert_eq!(full.broadcast(factor), Some(full));
        assert_eq!(full.with_channels(1).broadcast(factor), Some(full));
        assert_eq!(full.broadcast(full.with_channels(4)), None);
        assert_eq!(full.strided(2).and_then(|half| half.broadcast(full)), None);
    }

    #[test]
    fn strides_multiply() {
        let shape = Shape::slot(Space::Map, 8).strided(2).and_then(|s| s.strided(3));
        assert_eq!(shape.map(|s| s.to_string()).as_deref(), Some("[N, 8, H/6, W/6]"));
        assert_eq!(shape.map(|s| s.of_positions(72)), Some(2));
        assert_eq!(Shape::slot(Space::Map, 8).strided(1 << 20), None);
    }
}
