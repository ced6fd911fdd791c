//! What becomes of a slot whose plugin panics in a live call.

use super::error::CommandError;
use super::{Command, ModelError, MorphogeneticModel};
use crate::graft::{Fault, Part};
use crate::lifecycle::{EventKind, Stage};
use crate::model::swap::Recovered;
use crate::model::{Intervene, Intervention};
use kasmina_plugin_api::{ErrorKind, Kind};
use kasmina_registry::{Entry, Registry};
use kasmina_torch_ext::{Change, ParameterSink};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What is done about a panic in a live call. A panic leaves its instance in an unknown state: it is never called again.
///
/// These are about blends. A seed that panics cannot be stood in for: where the policy is not `fail` it is pruned, with
/// the reason `plugin_panic`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PanicPolicy {
    /// The run ends.
    #[default]
    Fail,
    /// Alpha stays where it is, and the built-in blend goes on with it.
    Freeze,
    /// The build that was there before the last swap goes on; where there was none, the run ends.
    PreviousGeneration,
    /// The built-in blend goes on.
    Builtin,
}

impl PanicPolicy {
    /// The word in configurations and events.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fail => "fail",
            Self::Freeze => "freeze",
            Self::PreviousGeneration => "previous_generation",
            Self::Builtin => "builtin",
        }
    }
}

/// The policies of a model's slots.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PanicPolicies {
    /// Of every slot that is not named.
    pub default: PanicPolicy,
    /// Of these slots, by name or alias.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub slots: BTreeMap<String, PanicPolicy>,
}

impl MorphogeneticModel {
    /// Deals with the failure that ended the last training step, if it can: what is on trial is rolled back, and a panic is
    /// contained by its slot's policy. Then the step may be taken again; otherwise the failure stands.
    ///
    /// # Errors
    /// If dealing with it fails; the first failure is the one to tell.
    pub fn recover(
        &mut self,
        registry: &Registry,
        sink: &mut dyn ParameterSink,
    ) -> Result<Option<Recovered>, ModelError> {
        let Some((index, fault)) = self.fault.take() else { return Ok(None) };
        let on_trial = self.slots[index]
            .live
            .as_ref()
            .is_some_and(|live| self.on_trial.as_ref().is_some_and(|trial| trial.is_of(&live.origin.blend)));
        if on_trial && fault.part == Part::Blend {
            return self.roll_back(&fault.error.to_string(), registry, sink);
        }
        if !matches!(fault.error.kind, ErrorKind::Panic | ErrorKind::Poisoned) {
            return Ok(None);
        }
        self.contain(index, &fault, registry, sink).map_err(|error| ModelError::Torch(error.to_string()))
    }

    fn contain(
        &mut self,
        index: usize,
        fault: &Fault,
        registry: &Registry,
        sink: &mut dyn ParameterSink,
    ) -> Result<Option<Recovered>, CommandError> {
        let slot = &self.slots[index];
        let Some(live) = &slot.live else { return Ok(None) };
        // One rank alone cannot part from the others; and nothing leads away from a fossil.
        let fossil = slot.lifecycle.stage() == Stage::Fossilized && fault.part == Part::Seed;
        if fossil || self.consensus.ranks() > 1 {
            return Ok(None);
        }
        let named = self.on_panic.slots.iter().find(|(name, _)| slot.answers_to(name));
        let policy = named.map_or(self.on_panic.default, |(_, policy)| *policy);
        let (name, part) = (slot.name().to_owned(), fault.part);
        let entry = if part == Part::Seed { &live.origin.blueprint } else { &live.origin.blend };
        let plugin = entry.full_name();
        let seed_id = slot.lifecycle.seed().map(|seed| seed.seed_id.clone());
        let prune = part == Part::Seed || slot.lifecycle.is_leaving();
        let stand_in = match policy {
            PanicPolicy::Fail => return Ok(None),
            PanicPolicy::PreviousGeneration if !prune => match &live.earlier_blend {
                Some(earlier) => Some(earlier.clone()),
                None => return Ok(None),
            },
            _ => Some(registry.resolve(Kind::Blend, "core::linear")?),
        };
        if prune {
            let reason = "plugin_panic".to_owned();
            self.execute(&Command::Prune { slot: name.clone(), reason: reason.clone() }, registry, sink)?;
            let slot = &mut self.slots[index];
            slot.interventions
                .push(Intervention { after_ticks: slot.ticks, what: Intervene::Prune { reason } });
        } else if let Some(entry) = stand_in {
            self.stand_in(index, &entry, policy == PanicPolicy::Freeze, sink)?;
        }
        tracing::warn!("{plugin} panicked in slot `{name}`; its policy is {}", policy.as_str());
        self.events.push(crate::lifecycle::Event {
            kind: EventKind::PluginContained {
                plugin,
                part: if part == Part::Seed { "seed" } else { "blend" }.to_owned(),
                policy: policy.as_str().to_owned(),
                error: fault.error.to_string(),
            },
            slot_id: name.clone(),
            seed_id,
        });
        Ok(Some(Recovered::Contained { slot: name, policy: policy.as_str().to_owned() }))
    }

    /// Another blend goes on where one has panicked. The state of a poisoned instance cannot be had; its variables can.
    pub(super) fn stand_in(
        &mut self,
        index: usize,
        entry: &Entry,
        freeze: bool,
        sink: &mut dyn ParameterSink,
    ) -> Result<(), CommandError> {
        let exchange = self.prepare_exchange(index, entry, false, sink)?;
        let exchanged = !exchange.tickets.is_empty();
        self.take_exchange(exchange, sink);
        let slot = &mut self.slots[index];
        if let Some(live) = &mut slot.live {
            live.earlier_blend = None;
        }
        if freeze && slot.lifecycle.freeze_alpha().is_ok() {
            slot.interventions.push(Intervention { after_ticks: slot.ticks, what: Intervene::FreezeAlpha });
        }
        if exchanged {
            let owner = crate::graft::blend_group(slot.name());
            let ticket = sink.prepare(Change::Settle { owner })?;
            sink.commit(ticket);
        }
        Ok(())
    }
}
