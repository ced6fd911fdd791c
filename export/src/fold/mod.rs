//! Folding: a seed that is linear in the channels of each position becomes part of the linear layer beside
//! it.

mod affine;
mod merge;
mod place;

use crate::difference::relative;
use crate::example::examples;
use crate::folding::{FoldedSeed, Folding, KeptSeed};
use crate::names::Names;
use crate::{ExportError, Network, Structure, weights};
use affine::Affine;
use kasmina_checkpoint::{Dtype, TensorView, Tensors};
use kasmina_registry::Registry;
use kasmina_trainer::run::SavedNetwork;
use place::Place;
use std::collections::BTreeMap;
use tch::{Device, Kind, Tensor};

/// Largest accepted difference between the outputs, relative to the largest output.
const TOLERANCE: f64 = 1e-5;

/// A network with fewer seeds and other weights of its host.
#[derive(Debug)]
pub(crate) struct FoldedNetwork {
    pub(crate) structure: Structure,
    /// All weights, by their names in a checkpoint.
    pub(crate) weights: Tensors,
    pub(crate) folding: Folding,
}

/// Folds every seed of a network that is linear in the channels of each position. The arithmetic is done in
/// float64 on copies.
///
/// # Errors
/// If a linear seed has no layer beside it that can contain it, or the outputs differ. Nothing is folded
/// then.
pub(crate) fn fold(
    saved: &SavedNetwork,
    registry: &Registry,
    structure: &Structure,
) -> Result<FoldedNetwork, ExportError> {
    let mut network = Network::of_checkpoint(saved, registry, Device::Cpu)?;
    let batches = examples(saved.interface()?, Kind::Float)?;
    let mut host = network.host_tensors()?;
    let (mut folded, mut kept, mut reasons) = (Vec::new(), Vec::new(), Vec::new());
    let neighbours = network.neighbours(&batches[0])?;
    let features = network.features(&batches[0])?;
    let slots = network.occupied().zip(&features).zip(&neighbours).zip(&structure.seeds);
    for (((slot, features), neighbours), seed) in slots {
        let Some(affine) = Affine::of(slot, features, &seed.topology)? else {
            kept.push(KeptSeed { slot: seed.slot.clone(), seed: seed.seed.entry.clone() });
            continue;
        };
        let into = if affine.is_identity()? {
            Ok(None)
        } else {
            let place = Place::find(neighbours, &affine, features.dim());
            place
                .and_then(|place| merge::merge(&mut host, &place, &affine).map(|()| Some(place.layer.weight)))
        };
        match into {
            Ok(into) => folded.push(FoldedSeed {
                slot: seed.slot.clone(),
                seed_id: seed.seed_id.clone(),
                seed: seed.seed.entry.clone(),
                into,
            }),
            Err(reason) => reasons.push(format!("slot `{}`: {reason}", seed.slot)),
        }
    }
    if !reasons.is_empty() {
        return Err(ExportError::NotFolded { reasons });
    }
    let is_kept = |slot: &String| !folded.iter().any(|seed| seed.slot == *slot);
    let seeds = structure.seeds.iter().filter(|seed| is_kept(&seed.slot)).cloned().collect();
    let structure = Structure { seeds, ..structure.clone() };
    let weights = with_host(saved, &Names::saved(&structure).host, &host)?;
    let mut after = Network::of_parts(saved, registry, Device::Cpu, (&structure, &weights))?;
    let mut difference: f64 = 0.0;
    for batch in &batches {
        let here = relative(&network.forward(batch)?, &after.forward(batch)?)?;
        if here.is_nan() || here > TOLERANCE {
            return Err(ExportError::Differs { what: "folded network", difference: here });
        }
        difference = difference.max(here);
    }
    Ok(FoldedNetwork { structure, weights, folding: Folding { folded, kept, difference } })
}

/// Returns the weights of a checkpoint with other values of the host's float32 weights.
fn with_host(
    saved: &SavedNetwork,
    prefix: &str,
    host: &BTreeMap<String, Tensor>,
) -> Result<Tensors, ExportError> {
    let changed =
        host.iter().map(|(name, tensor)| Ok((format!("{prefix}{name}"), weights::elements(tensor)?)));
    let changed: BTreeMap<String, Vec<u8>> = changed.collect::<Result<_, ExportError>>()?;
    let mut all: BTreeMap<&str, TensorView<'_>> = saved.weights().iter().collect();
    for (name, view) in &mut all {
        if let Some(bytes) = changed.get(*name) {
            (view.dtype, view.bytes) = (Dtype::F32, bytes);
        }
    }
    Ok(Tensors::parse(saved.path(), weights::bytes(&all, None)?.bytes)?)
}
