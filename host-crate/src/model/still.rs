//! Everything that a forward may move: kept, and put back, so that the next one sees the same.

use super::{ModelError, MorphogeneticModel};
use crate::graft::{Buffers, Part};
use kasmina_plugin_api::abi::Variable;
use kasmina_torch_ext::rng::{RngState, RngStream};

/// A model as it was between two forwards.
#[derive(Debug)]
pub(super) struct Still {
    generators: RngState,
    buffers: Buffers,
    streams: Vec<(usize, RngStream)>,
    /// State bytes, by slot.
    states: Vec<(usize, Part, Vec<u8>)>,
}

impl Still {
    /// Forgets the state of some blends: others stand in their place.
    pub(super) fn without_blends(mut self, slots: &[usize]) -> Self {
        self.states.retain(|(slot, part, _)| *part != Part::Blend || !slots.contains(slot));
        self
    }
}

impl MorphogeneticModel {
    pub(super) fn hold_still(&self) -> Result<Still, ModelError> {
        let mut variables: Vec<Variable> = self.host.variables()?;
        let (mut streams, mut states) = (Vec::new(), Vec::new());
        for (index, slot) in self.slots.iter().enumerate() {
            let Some(live) = &slot.live else { continue };
            variables.extend(live.seed.variables()?);
            variables.extend(live.blend.variables()?);
            states.push((index, Part::Seed, live.seed.state()?));
            states.push((index, Part::Blend, live.blend.state()?));
            streams.extend(live.stream.as_ref().map(|s| (index, s.fork())));
        }
        Ok(Still { generators: RngState::save()?, buffers: Buffers::of(&variables), streams, states })
    }

    /// Everything that a forward may move is where it was.
    pub(super) fn put_back(&mut self, still: &Still) -> Result<(), ModelError> {
        still.generators.restore()?;
        for (index, stream) in &still.streams {
            if let Some(live) = &mut self.slots[*index].live {
                live.stream = Some(stream.fork());
            }
        }
        still.buffers.put_back()?;
        for (index, part, state) in &still.states {
            let Some(live) = &mut self.slots[*index].live else { continue };
            let (blueprint, blend) = (live.origin.blueprint.record(), live.origin.blend.record());
            match part {
                Part::Seed if live.seed.state()? != *state => {
                    live.seed.restore(state, blueprint.state_version)?;
                }
                Part::Blend if live.blend.state()? != *state => {
                    live.blend.restore(state, blend.state_version)?;
                }
                _ => {}
            }
        }
        Ok(())
    }
}
