//! Moving a model to another device. Instances never move: they are built again there, and their variables and
//! state are brought over.

use super::exchange::bring_over;
use super::germinate::{groups, prepare_all};
use super::{HOST_OWNER, ModelError, MorphogeneticModel};
use crate::graft::{LiveSeed, layout, trainable};
use kasmina_plugin_api::abi::{HostInstance, Variable};
use kasmina_plugin_api::{PluginError, Site};
use kasmina_torch_ext::rng::{RngFork, RngStream};
use kasmina_torch_ext::{Change, NamedParameter, ParameterSink};
use tch::Device;

impl MorphogeneticModel {
    /// Moves host, seeds and blends with their weights, buffers and state, and asks the optimizer to follow; at
    /// the boundary of a step. What the model does afterwards is what it would have done.
    ///
    /// # Errors
    /// If something cannot be built there, or the optimizer does not follow; then nothing has moved.
    pub fn to_device(&mut self, device: Device, sink: &mut dyn ParameterSink) -> Result<(), ModelError> {
        self.confirm(sink).map_err(|error| ModelError::Torch(error.to_string()))?;
        // Building draws initial weights, which are thrown away.
        let _fork = RngFork::here()?;
        let host = self.host_on(device)?;
        let host_parameters = trainable(HOST_OWNER, host.variables()?);
        layout::settle(&host_parameters, self.layout)?;
        let mut lives = Vec::with_capacity(self.slots.len());
        for slot in &self.slots {
            let site = slot.site().with_device(device);
            let live = slot.live.as_ref().map(|live| rebuild(live, slot.name(), &site)).transpose()?;
            if slot.lifecycle.is_leaving() {
                live.iter().for_each(LiveSeed::freeze);
            }
            lives.push(live);
        }
        let monitors = self
            .slots
            .iter()
            .zip(&lives)
            .map(|(slot, live)| {
                let seed = live.iter().flat_map(|l| l.seed_parameters.iter().map(|p| &p.tensor));
                slot.monitor.moved_to(device, seed)
            })
            .collect::<Result<Vec<_>, _>>()?;
        let replace = |owner: String, parameters: &[NamedParameter]| Change::Replace {
            owner,
            parameters: parameters.iter().map(NamedParameter::share).collect(),
        };
        let mut changes = vec![replace(HOST_OWNER.to_owned(), &host_parameters)];
        for (slot, live) in self.slots.iter().zip(&lives) {
            let Some(live) = live else { continue };
            changes
                .extend(groups(slot.name(), live).map(|(owner, _, parameters)| replace(owner, parameters)));
        }
        let tickets = prepare_all(sink, changes.into_iter())?;
        // From here on nothing can fail.
        for ticket in tickets {
            sink.commit(ticket);
        }
        (self.host, self.host_parameters, self.device) = (host, host_parameters, device);
        for ((slot, live), monitor) in self.slots.iter_mut().zip(lives).zip(monitors) {
            slot.features.device = device;
            (slot.live, slot.monitor) = (live, monitor);
        }
        self.restructured();
        Ok(())
    }

    fn host_on(&self, device: Device) -> Result<HostInstance, ModelError> {
        let host = self.host_entry.make_host(device, &self.host_config)?;
        bring_all_over(&self.host.variables()?, &host.variables()?)?;
        Ok(host)
    }
}

/// The same seed and blend at another site.
fn rebuild(live: &LiveSeed, slot: &str, site: &Site) -> Result<LiveSeed, ModelError> {
    let origin = &live.origin;
    let mut seed = origin.blueprint.make_seed(site, &origin.blueprint_config)?;
    let mut blend = origin.blend.make_blend(site, &origin.blend_config)?;
    bring_all_over(&live.seed.variables()?, &seed.variables()?)?;
    bring_all_over(&live.blend.variables()?, &blend.variables()?)?;
    let (seed_state, blend_state) = (live.seed.state()?, live.blend.state()?);
    if !seed_state.is_empty() {
        seed.restore(&seed_state, origin.blueprint.record().state_version)?;
    }
    if !blend_state.is_empty() {
        blend.restore(&blend_state, origin.blend.record().state_version)?;
    }
    let mut moved = LiveSeed::new(slot, site, origin.clone(), (seed, blend), live.alpha_value)?;
    moved.multiply_adds = live.multiply_adds;
    moved.stream = live.stream.as_ref().map(RngStream::fork);
    Ok(moved)
}

/// Copies variables that must be the same on both sides.
fn bring_all_over(from: &[Variable], to: &[Variable]) -> Result<(), ModelError> {
    let shape = |v: &Variable| (v.name.clone(), v.tensor.size());
    if !from.iter().map(shape).eq(to.iter().map(shape)) {
        let text = "built twice with one configuration, it has other variables the second time";
        return Err(PluginError::contract(text).into());
    }
    Ok(bring_over(from, to)?)
}
