//! Moving a model to another device. Instances never move: they are built again there, and their variables and
//! state are brought over.

use super::germinate::{blend_group, groups, prepare_all, seed_group, trainable};
use super::{HOST_OWNER, ModelError, MorphogeneticModel, Owner};
use crate::graft::LiveSeed;
use kasmina_plugin_api::abi::{HostInstance, Variable};
use kasmina_plugin_api::{PluginError, Site};
use kasmina_torch_ext::rng::RngFork;
use kasmina_torch_ext::{Change, NamedParameter, ParameterSink};
use tch::{Device, Tensor};

impl MorphogeneticModel {
    /// Moves host, seeds and blends with their weights, buffers and state, and asks the optimizer to follow; at
    /// the boundary of a step. What the model does afterwards is what it would have done.
    ///
    /// # Errors
    /// If something cannot be built there, or the optimizer does not follow; then nothing has moved.
    pub fn to_device(&mut self, device: Device, sink: &mut dyn ParameterSink) -> Result<(), ModelError> {
        // Building draws initial weights, which are thrown away.
        let _fork = RngFork::here()?;
        let host = self.host_on(device)?;
        let host_parameters = trainable(HOST_OWNER, host.variables()?);
        let mut lives = Vec::with_capacity(self.slots.len());
        for slot in &self.slots {
            let site = slot.site().with_device(device);
            lives.push(slot.live.as_ref().map(|live| rebuild(live, slot.name(), &site)).transpose()?);
        }
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
        let queued = self.slots.iter_mut().zip(&lives).try_for_each(|(slot, live)| {
            let seed = live.iter().flat_map(|l| l.seed_parameters.iter().map(|p| &p.tensor));
            slot.monitor.move_to(device, seed)
        });
        if let Err(error) = queued {
            for ticket in tickets {
                sink.abort(ticket);
            }
            return Err(error.into());
        }

        // From here on nothing can fail.
        for ticket in tickets {
            sink.commit(ticket);
        }
        (self.host, self.host_parameters, self.device) = (host, host_parameters, device);
        for (slot, live) in self.slots.iter_mut().zip(lives) {
            slot.features.device = device;
            slot.live = live;
        }
        self.register_ownership();
        Ok(())
    }

    fn host_on(&self, device: Device) -> Result<HostInstance, ModelError> {
        let host = self.host_entry.make_host(device, &self.host_config)?;
        bring_over(self.host.variables()?, &host.variables()?)?;
        Ok(host)
    }

    /// Writes the register anew from what lives.
    pub(super) fn register_ownership(&mut self) {
        self.ownership = super::ParameterRegistry::default();
        self.ownership.enter(&Owner::Host, &self.host_parameters);
        for slot in &self.slots {
            let (Some(live), Some(seed)) = (&slot.live, slot.lifecycle.seed()) else { continue };
            for (owner, _, parameters) in super::germinate::owned(slot.name(), &seed.seed_id, live) {
                self.ownership.enter(&owner, parameters);
            }
        }
    }
}

/// The same seed and blend at another site.
fn rebuild(live: &LiveSeed, slot: &str, site: &Site) -> Result<LiveSeed, ModelError> {
    let mut seed = live.blueprint.make_seed(site, &live.blueprint_config)?;
    let mut blend = live.blend_entry.make_blend(site, &live.blend_config)?;
    bring_over(live.seed.variables()?, &seed.variables()?)?;
    bring_over(live.blend.variables()?, &blend.variables()?)?;
    let (seed_state, blend_state) = (live.seed.state()?, live.blend.state()?);
    if !seed_state.is_empty() {
        seed.restore(&seed_state, live.blueprint.record().state_version)?;
    }
    if !blend_state.is_empty() {
        blend.restore(&blend_state, live.blend_entry.record().state_version)?;
    }
    let mut moved = LiveSeed {
        seed_parameters: trainable(&seed_group(slot), seed.variables()?),
        blend_parameters: trainable(&blend_group(slot), blend.variables()?),
        alpha: Tensor::f_full([], live.alpha_value, (site.dtype(), site.device()))?,
        alpha_value: live.alpha_value,
        blueprint: live.blueprint.clone(),
        blend_entry: live.blend_entry.clone(),
        blueprint_config: live.blueprint_config.clone(),
        blend_config: live.blend_config.clone(),
        stream: live.stream.as_ref().map(kasmina_torch_ext::rng::RngStream::fork),
        frozen: false,
        seed,
        blend,
    };
    if live.frozen {
        moved.freeze();
    }
    Ok(moved)
}

/// Copies variables by name. Both lists are sorted.
fn bring_over(from: Vec<Variable>, to: &[Variable]) -> Result<(), ModelError> {
    if !from.iter().map(|v| &v.name).eq(to.iter().map(|v| &v.name)) {
        let text = "built twice with one configuration, it has other variables the second time";
        return Err(PluginError::contract(text).into());
    }
    tch::no_grad(|| {
        from.into_iter()
            .zip(to)
            .try_for_each(|(from, to)| to.tensor.shallow_clone().f_copy_(&from.tensor).map(drop))
    })?;
    Ok(())
}
