//! Another blend in the place of one that lives: made ready beside it, taken in whole.

use crate::graft::{BlendExchange, BlendPart, blend_group, bring_over, probe_blend};
use crate::lifecycle::{Curve, Intervene, Lifecycle, Refusal, RefusalCode};
use crate::model::growth::{Transaction, sample_points};
use crate::model::{CommandError, MorphogeneticModel};
use kasmina_plugin_api::Capability;
use kasmina_plugin_api::abi::BlendInstance;
use kasmina_registry::Entry;
use kasmina_torch_ext::rng::{RngFork, derive_seed};
use kasmina_torch_ext::{Change, NamedParameter, ParameterSink, Role};

/// Whether the blend before an exchange can come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WayBack {
    /// The optimizer keeps what was there, and state bytes move over.
    Kept,
    /// Nothing is kept; the instance before may be poisoned, and its state bytes cannot be had.
    None,
}

/// An exchange that nothing stands in the way of any more.
#[derive(Debug)]
pub(super) struct ReadyExchange {
    /// The position of the slot.
    pub(super) index: usize,
    pub(super) exchange: BlendExchange,
    pub(super) transaction: Transaction,
}

impl MorphogeneticModel {
    /// Builds and tries the blend of another build for a slot, gives it the variables of the one that lives
    /// there, and lets the optimizer prepare. Changes nothing.
    pub(super) fn prepare_exchange(
        &self,
        index: usize,
        entry: &Entry,
        way_back: WayBack,
        sink: &mut dyn ParameterSink,
    ) -> Result<ReadyExchange, CommandError> {
        let slot = &self.slots[index];
        let Some(live) = slot.live() else {
            return Err(Refusal::new(RefusalCode::EmptySlot, "no seed lives there").into());
        };
        let (name, site, living) = (slot.name(), slot.site(), live.blend());
        let mut blend = {
            let seed_id = slot.lifecycle().seed().map_or("", |seed| &seed.seed_id);
            let _fork = RngFork::seeded(derive_seed(self.growth.seed(), &[name, seed_id, "blend"]))?;
            entry.make_blend(&site, living.config())?
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
        bring_over(&living.instance().variables()?, &blend.variables()?)?;
        if way_back == WayBack::Kept {
            let state = living.instance().state()?;
            if !state.is_empty() {
                blend.restore(&state, living.entry().record().state_version)?;
            }
        }
        let mut lifecycle = slot.lifecycle().clone();
        let mut told = None;
        if let Some(curve) = self.other_curve(slot.lifecycle(), &blend)? {
            lifecycle.exchange_curve(curve.clone())?;
            told = Some(Intervene::ExchangeCurve { curve });
        }
        let had_parameters = !living.parameters().is_empty();
        let config = living.config().to_owned();
        let blend = BlendPart::new(name, &site, entry.clone(), config, blend)?;
        let exchanged = had_parameters || !blend.parameters().is_empty();
        let change = exchanged.then(|| {
            let parameters = blend.parameters().iter().map(NamedParameter::share).collect();
            let (owner, role) = (blend_group(name), Role::Gate);
            match way_back {
                WayBack::Kept => Change::Exchange { owner, role, parameters },
                WayBack::None => Change::Substitute { owner, role, parameters },
            }
        });
        let transaction = Transaction::prepare(sink, change)?;
        Ok(ReadyExchange { index, exchange: BlendExchange { blend, lifecycle, told }, transaction })
    }

    /// The curve of another blend, on the grid of the one that a seed has, if it is another curve. A curve
    /// that the user has chosen is no blend's.
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

    /// Takes a blend in for good. Cannot fail.
    pub(super) fn substitute(&mut self, ready: ReadyExchange, sink: &mut dyn ParameterSink) {
        ready.transaction.commit(sink);
        self.slots[ready.index].replace_blend(ready.exchange);
        self.restructured();
    }
}
