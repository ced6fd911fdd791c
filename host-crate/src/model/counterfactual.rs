//! What each seed is worth: the same batch with one slot's alpha forced to 0, for all slots in one pass.

use super::{ModelError, MorphogeneticModel};
use crate::graft::{AlphaOverride, Pass, contract};
use crate::lifecycle::Stage;
use kasmina_plugin_api::Mode;
use tch::{Kind, Tensor};

/// Which slots are measured: the variants of a counterfactual pass, after the network as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CounterfactualPlan {
    pub(super) slots: Vec<Planned>,
}

/// One measured slot, with the seed that lived there when the plan was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Planned {
    pub(super) index: usize,
    pub(super) slot: String,
    pub(super) seed_id: String,
}

impl CounterfactualPlan {
    /// The measured slots, by name, in the order of the variants.
    pub fn slots(&self) -> impl Iterator<Item = &str> {
        self.slots.iter().map(|p| p.slot.as_str())
    }
    /// How many outputs a pass has: the network as it is, and one without each measured slot.
    pub fn variants(&self) -> usize {
        self.slots.len() + 1
    }
}

impl MorphogeneticModel {
    /// The slots that can be measured now: a seed that is in the output and not there for good.
    pub fn counterfactual_plan(&self) -> CounterfactualPlan {
        let measured = self.slots.iter().enumerate().filter_map(|(index, slot)| {
            let lifecycle = slot.lifecycle();
            let undecided = lifecycle.stage().is_active() && lifecycle.stage() != Stage::Fossilized;
            let seed_id = lifecycle.seed()?.seed_id.clone();
            let slot = lifecycle.slot_id().to_owned();
            (undecided && lifecycle.alpha() > 0.0).then_some(Planned { index, slot, seed_id })
        });
        CounterfactualPlan { slots: measured.collect() }
    }

    /// The outputs of all variants of a batch, from one forward in eval mode: first the network as it is,
    /// then without each measured slot. Changes nothing in the model.
    ///
    /// # Shapes
    /// `x`: `[N, ..]`; each output as [`forward`](Self::forward) gives it for `x`.
    ///
    /// # Errors
    /// As [`forward`](Self::forward).
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
        let pass = Pass {
            mode: Mode::Eval,
            step: self.telemetry.step(),
            watch: false,
            overrides: &overrides,
            severed: None,
        };
        let output = self.pass(&stacked, pass)?;
        Ok(output.f_chunk(variants, 0)?)
    }

    /// The slot's alpha for every sample of the stacked batch, 0 in the rows of one variant.
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
