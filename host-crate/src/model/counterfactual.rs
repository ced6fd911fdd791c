//! Counterfactual passes: the network's outputs without each seed (its alpha 0), for all slots in one
//! forward.

use super::{ModelError, MorphogeneticModel};
use crate::graft::{AlphaOverride, Pass, contract};
use crate::lifecycle::Stage;
use kasmina_plugin_api::Mode;
use tch::{Kind, Tensor};

/// The slots that a counterfactual pass measures. Its variants are the unchanged network, then the network
/// without each of these slots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CounterfactualPlan {
    pub(super) slots: Vec<Planned>,
}

/// One measured slot, with the seed that was in it when the plan was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Planned {
    pub(super) index: usize,
    pub(super) slot: String,
    pub(super) seed_id: String,
}

impl CounterfactualPlan {
    /// Returns the names of the measured slots, in the order of the variants.
    pub fn slots(&self) -> impl Iterator<Item = &str> {
        self.slots.iter().map(|p| p.slot.as_str())
    }
    /// Returns the number of outputs of a pass: one more than the number of measured slots.
    pub fn variants(&self) -> usize {
        self.slots.len() + 1
    }
}

impl MorphogeneticModel {
    /// Returns a plan of all slots whose seed is active, not fossilized and at an alpha above 0.
    pub fn counterfactual_plan(&self) -> CounterfactualPlan {
        let measured = self.slots.iter().enumerate().filter_map(|(index, slot)| {
            let lifecycle = slot.lifecycle();
            let active = lifecycle.stage().is_active() && lifecycle.stage() != Stage::Fossilized;
            let seed_id = lifecycle.seed()?.seed_id.clone();
            let slot = lifecycle.slot_id().to_owned();
            (active && lifecycle.alpha() > 0.0).then_some(Planned { index, slot, seed_id })
        });
        CounterfactualPlan { slots: measured.collect() }
    }

    /// Runs all variants of a batch in one forward in eval mode; returns the output of the unchanged network,
    /// then those without each measured slot. Changes nothing in the model.
    ///
    /// # Shapes
    /// `x`: `[batch, ...]`; each output as [`forward`](Self::forward) returns it for `x`.
    ///
    /// # Errors
    /// As [`forward`](Self::forward), or if the plan belongs to another model.
    pub fn forward_counterfactual(
        &mut self,
        x: &Tensor,
        plan: &CounterfactualPlan,
    ) -> Result<Vec<Tensor>, ModelError> {
        if plan.slots.is_empty() {
            return Ok(vec![self.forward(x, Mode::Eval)?]);
        }
        let variants = plan.variants() as i64;
        let batch = x.size().first().copied().unwrap_or(0);
        let overrides = plan
            .slots
            .iter()
            .enumerate()
            .map(|(variant, planned)| self.without(planned.index, variant as i64 + 1, variants, batch))
            .collect::<Result<Vec<_>, _>>()?;
        let stacked = Tensor::f_cat(&vec![x; variants as usize], 0)?;
        let pass = Pass { overrides: &overrides, ..Pass::new(Mode::Eval, self.telemetry.step()) };
        let output = self.pass(&stacked, pass)?;
        Ok(output.f_chunk(variants, 0)?)
    }

    /// Returns the slot's alpha for every sample of the stacked batch, 0 in the rows of one variant.
    fn without(
        &self,
        slot: usize,
        variant: i64,
        variants: i64,
        batch: i64,
    ) -> Result<AlphaOverride, ModelError> {
        let Some(seed_slot) = self.slots().get(slot) else {
            return Err(ModelError::Plan("it belongs to another model".to_owned()));
        };
        let (alpha, features) = (seed_slot.lifecycle().alpha(), seed_slot.features());
        let mut shape = vec![1; features.shape.len() + 1];
        shape[0] = variants * batch;
        let values = Tensor::f_full(shape, alpha, (Kind::Float, self.network.device))?;
        let _ = values.f_narrow(0, variant * batch, batch)?.f_zero_()?;
        Ok(AlphaOverride { slot, alpha: values.f_to_kind(contract::alpha_kind(features.dtype))? })
    }
}
