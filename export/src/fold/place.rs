//! The layer beside a slot that can contain a linear function.

use super::affine::Affine;
use kasmina_torch_ext::neighbours::{Layer, Neighbour, Neighbours};

/// The side of a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Before,
    After,
}

/// A layer beside a slot.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) side: Side,
    pub(super) layer: Layer,
}

impl Place {
    /// Returns the layer before the slot or, if that cannot contain the function, the one after it.
    /// `dimensions` is the number of dimensions of the features.
    ///
    /// # Errors
    /// Returns why neither can, in words.
    pub(super) fn find(neighbours: &Neighbours, affine: &Affine, dimensions: usize) -> Result<Self, String> {
        let [before, after] = [(Side::Before, &neighbours.before), (Side::After, &neighbours.after)]
            .map(|(side, neighbour)| suitable(side, neighbour, affine, dimensions));
        match (before, after) {
            (Ok(layer), _) => Ok(Self { side: Side::Before, layer }),
            (_, Ok(layer)) => Ok(Self { side: Side::After, layer }),
            (Err(before), Err(after)) => Err(format!("before it {before}; after it {after}")),
        }
    }
}

/// Returns the layer on one side, or why it cannot contain the function.
fn suitable(side: Side, neighbour: &Neighbour, affine: &Affine, dimensions: usize) -> Result<Layer, String> {
    let Neighbour { readers, operation, layer, averaged } = neighbour;
    if *readers > 1 {
        return Err(format!("{readers} operations read the features"));
    }
    let Some(layer) = layer else {
        let none = operation.is_empty();
        return Err(if none { "is no operation".to_owned() } else { format!("is `{operation}`") });
    };
    let name = format!("the {operation} `{}`", layer.weight);
    if layer.weight.is_empty() || layer.shared {
        return Err(format!("is a {operation} whose weight is computed, or used in another place too"));
    }
    let dimensions = i64::try_from(dimensions).unwrap_or(i64::MAX);
    let averaged: Vec<i64> = averaged.iter().map(|d| d.rem_euclid(dimensions)).collect();
    let averages_wrong = averaged.iter().any(|d| *d == 0 || *d == affine.channels);
    // An average removes its dimensions.
    let before = averaged.iter().filter(|d| **d < affine.channels).count();
    let channels = affine.channels - i64::try_from(before).unwrap_or(0);
    let last = dimensions - 1 - i64::try_from(averaged.len()).unwrap_or(0);
    let wanted = if layer.convolution { 1 } else { last };
    if averages_wrong || channels != wanted || (layer.convolution && !averaged.is_empty()) {
        return Err(format!("is {name}, which reads other dimensions"));
    }
    if affine.is_linear().unwrap_or(false) {
        return Ok(layer.clone());
    }
    if layer.bias.is_none() {
        return Err(format!("is {name}, which has no bias for the seed's"));
    }
    if side == Side::After && layer.pads {
        return Err(format!("is {name}, which pads with zeros that the seed's bias would change"));
    }
    Ok(layer.clone())
}
