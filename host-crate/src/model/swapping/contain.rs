//! Containing a plugin's panic in a slot.

use super::exchange::PreviousBlend;
use super::policy::PanicPolicy;
use super::state::Recovered;
use crate::graft::{Fault, Part};
use crate::lifecycle::{Event, EventKind, Intervene, Stage};
use crate::model::{Command, CommandError, ModelError, MorphogeneticModel};
use kasmina_plugin_api::{ErrorKind, Kind};
use kasmina_registry::Registry;
use kasmina_torch_ext::ParameterSink;

impl MorphogeneticModel {
    /// Recovers from the failure that ended the last training step, if possible: rolls back a build on
    /// trial, or applies the slot's [`PanicPolicy`] to a panic. The caller may then repeat the step.
    /// Returns `None` if the failure cannot be recovered from.
    ///
    /// # Errors
    /// If the recovery itself fails; report the failure of the step rather than this one.
    pub fn recover(
        &mut self,
        registry: &Registry,
        sink: &mut dyn ParameterSink,
    ) -> Result<Option<Recovered>, ModelError> {
        let fault = self.swapping.fault.take();
        if self.consensus.ranks() > 1 {
            // A rank must not change its structure alone.
            return match self.swapping.failed_on_rank.take() {
                Some(reason) => self.roll_back(&reason, registry, sink),
                None => Ok(None),
            };
        }
        let Some((index, fault)) = fault else { return Ok(None) };
        let on_trial =
            self.slots[index].entries().is_some_and(|(_, blend)| self.swapping.is_of_trial_build(blend));
        if on_trial && fault.part == Part::Blend {
            return self.roll_back(&fault.error.to_string(), registry, sink);
        }
        if !matches!(fault.error.kind, ErrorKind::Panic | ErrorKind::Poisoned) {
            return Ok(None);
        }
        Ok(self.contain(index, &fault, registry, sink)?)
    }

    /// Applies the slot's policy to a panic; `None` if the policy or the situation does not allow it.
    fn contain(
        &mut self,
        index: usize,
        fault: &Fault,
        registry: &Registry,
        sink: &mut dyn ParameterSink,
    ) -> Result<Option<Recovered>, CommandError> {
        let slot = &self.slots[index];
        let Some((blueprint, blend)) = slot.entries() else { return Ok(None) };
        // A fossilized seed cannot be pruned.
        if slot.lifecycle().stage() == Stage::Fossilized && fault.part == Part::Seed {
            return Ok(None);
        }
        let policy = self.swapping.on_panic.of(slot);
        let (name, part) = (slot.name().to_owned(), fault.part);
        let plugin = if part == Part::Seed { blueprint } else { blend }.full_name();
        let seed_id = slot.lifecycle().seed().map(|seed| seed.seed_id.clone());
        let prune = part == Part::Seed || slot.lifecycle().is_leaving();
        let substitute = match policy {
            PanicPolicy::Fail => return Ok(None),
            PanicPolicy::PreviousGeneration if !prune => match slot.earlier_blend() {
                Some(earlier) => earlier.clone(),
                None => return Ok(None),
            },
            _ => registry.resolve(Kind::Blend, "core::linear")?,
        };
        if prune {
            let reason = "plugin_panic".to_owned();
            self.execute(&Command::Prune { slot: name.clone(), reason: reason.clone() }, registry, sink)?;
            self.slots[index].note_intervention(Intervene::Prune { reason });
        } else {
            let ready = self.prepare_exchange(index, &substitute, PreviousBlend::Discarded, sink)?;
            self.substitute(ready, sink);
            if policy == PanicPolicy::Freeze {
                self.slots[index].freeze_alpha();
            }
        }
        tracing::warn!("{plugin} panicked in slot `{name}`; applied the policy `{}`", policy.as_str());
        self.events.push(Event {
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
}
