//! Replacing the blend of a slot: prepared without changing the model, then applied in steps that cannot
//! fail.

use crate::graft::{BlendExchange, BlendPart, blend_group, copy_matching_variables, probe_blend};
use crate::lifecycle::{Curve, Intervene, Lifecycle, Refusal, RefusalCode};
use crate::model::growth::{Transaction, sample_points};
use crate::model::{CommandError, MorphogeneticModel};
use kasmina_plugin_api::Capability;
use kasmina_plugin_api::abi::BlendInstance;
use kasmina_registry::Entry;
use kasmina_torch_ext::rng::{RngFork, derive_seed};
use kasmina_torch_ext::{Change, NamedParameter, ParameterSink, Role};

/// What happens to the replaced blend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PreviousBlend {
    /// The optimizer keeps its parameters for a rollback, and its state bytes are copied to the new blend.
    Kept,
    /// Nothing is kept. Its state bytes are not copied, because the instance may be poisoned.
    Discarded,
}

/// A replacement whose fallible steps have all succeeded.
#[derive(Debug)]
pub(super) struct ReadyExchange {
    /// Index of the slot.
    pub(super) index: usize,
    pub(super) exchange: BlendExchange,
    pub(super) transaction: Transaction,
}

impl MorphogeneticModel {
    /// Builds and probes another blend for a slot, copies the variables of the present one to it, and
    /// prepares the change in the optimizer. Does not change the model.
    pub(super) fn prepare_exchange(
        &self,
        index: usize,
        entry: &Entry,
        previous: PreviousBlend,
        sink: &mut dyn ParameterSink,
    ) -> Result<ReadyExchange, CommandError> {
        let slot = &self.slots[index];
        let Some(live) = slot.live() else {
            return Err(Refusal::new(RefusalCode::EmptySlot, "no seed lives there").into());
        };
        let (name, site, current) = (slot.name(), slot.site(), live.blend());
        let mut blend = {
            let seed_id = slot.lifecycle().seed().map_or("", |seed| &seed.seed_id);
            let _fork = RngFork::seeded(derive_seed(self.growth.seed(), &[name, seed_id, "blend"]))?;
            entry.make_blend(&site, current.config())?
        };
        {
            let _precision = self.network.precision_scope()?;
            let promises = (entry.declares(Capability::SeedAtOne), entry.record().state_version);
            probe_blend(&mut blend, slot.features(), promises).map_err(|error| CommandError::ProbeBlend {
                blend: entry.full_name(),
                slot: name.to_owned(),
                error,
            })?;
        }
        copy_matching_variables(&current.instance().variables()?, &blend.variables()?)?;
        if previous == PreviousBlend::Kept {
            let state = current.instance().state()?;
            if !state.is_empty() {
                blend.restore(&state, current.entry().record().state_version)?;
            }
        }
        let mut lifecycle = slot.lifecycle().clone();
        let mut intervention = None;
        if let Some(curve) = self.other_curve(slot.lifecycle(), &blend)? {
            lifecycle.exchange_curve(curve.clone())?;
            intervention = Some(Intervene::ExchangeCurve { curve });
        }
        let had_parameters = !current.parameters().is_empty();
        let config = current.config().to_owned();
        let blend = BlendPart::new(name, &site, entry.clone(), config, blend)?;
        let exchanged = had_parameters || !blend.parameters().is_empty();
        let change = exchanged.then(|| {
            let parameters = blend.parameters().iter().map(NamedParameter::share).collect();
            let (owner, role) = (blend_group(name), Role::Gate);
            match previous {
                PreviousBlend::Kept => Change::Exchange { owner, role, parameters },
                PreviousBlend::Discarded => Change::Substitute { owner, role, parameters },
            }
        });
        let transaction = Transaction::prepare(sink, change)?;
        Ok(ReadyExchange { index, exchange: BlendExchange { blend, lifecycle, intervention }, transaction })
    }

    /// Samples the curve of another blend on the grid of the present curve; `None` if both are equal, or if
    /// the configuration fixes the curve.
    fn other_curve(
        &self,
        lifecycle: &Lifecycle,
        blend: &BlendInstance,
    ) -> Result<Option<Curve>, CommandError> {
        let Some(seed) = lifecycle.living().filter(|_| self.growth.alpha().curve.is_none()) else {
            return Ok(None);
        };
        let Curve::Table(samples) = seed.alpha.curve() else { return Ok(None) };
        let curve = sample_points(blend, samples.len().saturating_sub(1) as u32)?;
        Ok((curve != *seed.alpha.curve()).then_some(curve))
    }

    /// Replaces a blend permanently. Cannot fail.
    pub(super) fn substitute(&mut self, ready: ReadyExchange, sink: &mut dyn ParameterSink) {
        ready.transaction.commit(sink);
        self.slots[ready.index].replace_blend(ready.exchange);
        self.structure_changed();
    }
}
