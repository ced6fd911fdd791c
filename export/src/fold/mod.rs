//! Folding: a seed that is linear in the channels of each position becomes part of the linear layer beside
//! it.

mod affine;
mod merge;
mod place;

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
        let place = Place::find(neighbours, &affine, features.dim());
        match place.and_then(|place| merge::merge(&mut host, &place, &affine).map(|()| place)) {
            Ok(place) => folded.push(FoldedSeed {
                slot: seed.slot.clone(),
                seed_id: seed.seed_id.clone(),
                seed: seed.seed.entry.clone(),
                into: place.layer.weight,
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
    let mut changed = BTreeMap::new();
    for (name, tensor) in host {
        let flat = tensor.f_contiguous()?.f_flatten(0, -1)?;
        let mut bytes = vec![0; flat.numel() * 4];
        flat.f_copy_data_u8(&mut bytes, flat.numel())?;
        changed.insert(format!("{prefix}{name}"), bytes);
    }
    let view = |(name, view): (&str, TensorView<'_>)| -> (String, Vec<usize>) {
        (name.to_owned(), view.shape.to_vec())
    };
    let shapes: BTreeMap<String, Vec<usize>> = saved.weights().iter().map(view).collect();
    let mut all: BTreeMap<String, TensorView<'_>> =
        saved.weights().iter().map(|(name, view)| (name.to_owned(), view)).collect();
    for (name, bytes) in &changed {
        if let Some(shape) = shapes.get(name) {
            all.insert(name.clone(), TensorView { dtype: Dtype::F32, shape, bytes });
        }
    }
    Ok(Tensors::parse(saved.path(), weights::bytes(&all, None)?.bytes)?)
}

/// Returns the largest difference relative to the largest element of the first tensor.
fn relative(wanted: &Tensor, found: &Tensor) -> Result<f64, ExportError> {
    let largest = wanted.f_abs()?.f_max()?.f_double_value(&[])?;
    let difference = wanted.f_sub(found)?.f_abs()?.f_max()?.f_double_value(&[])?;
    Ok(difference / largest.max(f64::MIN_POSITIVE))
}
