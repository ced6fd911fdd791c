//! Saving and restoring the state of a slot.

use super::features::Features;
use super::glide::Glide;
use super::live_seed::LiveSeed;
use super::monitor::GradientIsolationMonitor;
use super::slot::SeedSlot;
use crate::lifecycle::{Intervention, Lifecycle};
use crate::state::{Resolve, RestoredTensors, SlotState, StateError, StateTensors};
use kasmina_plugin_api::SlotSpec;

/// The restored parts of a slot, built without changing the slot.
#[derive(Debug)]
pub(crate) struct RestoredSlot {
    lifecycle: Lifecycle,
    live: Option<LiveSeed>,
    monitor: GradientIsolationMonitor,
    glide: Glide,
    ticks: u32,
    interventions: Vec<Intervention>,
}

impl RestoredSlot {
    /// Returns the restored seed; `None` for an empty slot.
    pub(crate) fn live(&self) -> Option<&LiveSeed> {
        self.live.as_ref()
    }
}

fn monitor_name(slot: &str) -> String {
    format!("slot.{slot}.monitor")
}

impl SeedSlot {
    /// Returns the slot's state between two steps, and adds its tensors to `tensors`.
    pub(crate) fn state(&self, tensors: &mut StateTensors) -> Result<SlotState, StateError> {
        // Without `..`: a new field does not compile until it is listed here as saved or not.
        let Self {
            spec,
            features: _,
            lifecycle,
            live,
            monitor,
            glide,
            forced: _,
            ticks,
            interventions,
            pulse: _,
        } = self;
        let SlotSpec { name, topology, .. } = spec;
        Ok(SlotState {
            slot: name.clone(),
            topology: topology.as_str().to_owned(),
            lifecycle: lifecycle.state(),
            glide: glide.state(),
            ticks: *ticks,
            interventions: interventions.clone(),
            shadow_checks: monitor.state(&monitor_name(name), tensors)?,
            live: live.as_ref().map(|live| live.state(name, tensors)).transpose()?,
        })
    }

    /// Builds the slot's parts from a state, without changing the slot.
    pub(crate) fn prepare_restore(
        &self,
        state: &SlotState,
        tensors: &mut RestoredTensors,
        resolve: &Resolve<'_>,
    ) -> Result<RestoredSlot, StateError> {
        let name = self.name();
        if state.topology != self.spec.topology.as_str() {
            let (wanted, found) = (state.topology.clone(), self.spec.topology.as_str().to_owned());
            return Err(StateError::Topology { slot: name.to_owned(), wanted, found });
        }
        let site = self.site();
        let restored = |live| LiveSeed::restored(name, &site, live, tensors, resolve);
        let live = state.live.as_ref().map(restored).transpose()?;
        let lifecycle = self.lifecycle.restored(state.lifecycle.clone());
        if lifecycle.is_leaving() {
            live.iter().for_each(LiveSeed::freeze);
        }
        let Features { device, .. } = *self.features();
        let watched = live.iter().flat_map(|live| live.seed.parameters.iter().map(|p| &p.tensor));
        let monitor = GradientIsolationMonitor::restored(
            &monitor_name(name),
            &state.shadow_checks,
            tensors,
            watched,
            device,
        )?;
        let glide = self.glide.restored(state.glide);
        let (ticks, interventions) = (state.ticks, state.interventions.clone());
        Ok(RestoredSlot { lifecycle, live, monitor, glide, ticks, interventions })
    }

    /// Replaces the slot's parts by the restored ones. Cannot fail.
    pub(crate) fn restore(&mut self, restored: RestoredSlot) {
        let RestoredSlot { lifecycle, live, monitor, glide, ticks, interventions } = restored;
        (self.lifecycle, self.live, self.monitor) = (lifecycle, live, monitor);
        (self.glide, self.ticks, self.interventions) = (glide, ticks, interventions);
    }
}
