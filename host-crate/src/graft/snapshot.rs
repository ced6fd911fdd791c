//! Saving and restoring what a forward may change in a slot, except variables.

use super::slot::SeedSlot;
use kasmina_plugin_api::Result;
use kasmina_torch_ext::rng::RngStream;

/// The random stream of a stochastic seed and the state bytes of seed and blend, between two forwards.
#[derive(Debug)]
pub(crate) struct SlotSnapshot {
    stream: Option<RngStream>,
    seed_state: Vec<u8>,
    blend_state: Vec<u8>,
}

impl SeedSlot {
    /// Takes a snapshot; `None` for an empty slot.
    pub(crate) fn snapshot(&self) -> Result<Option<SlotSnapshot>> {
        let Some(live) = &self.live else { return Ok(None) };
        let [seed_state, blend_state] = live.states()?;
        Ok(Some(SlotSnapshot {
            stream: live.seed.stream.as_ref().map(RngStream::fork),
            seed_state,
            blend_state,
        }))
    }

    /// Restores the random stream of the seed.
    pub(crate) fn restore_stream(&mut self, snapshot: &SlotSnapshot) {
        if let Some(live) = &mut self.live
            && let Some(stream) = &snapshot.stream
        {
            live.seed.stream = Some(stream.fork());
        }
    }

    /// Restores the state bytes of the seed and, if `with_blend`, those of the blend.
    pub(crate) fn restore_states(&mut self, snapshot: &SlotSnapshot, with_blend: bool) -> Result<()> {
        let Some(live) = &mut self.live else { return Ok(()) };
        let (seed, blend) = (&mut live.seed, &mut live.blend);
        if seed.instance.state()? != snapshot.seed_state {
            seed.instance.restore(&snapshot.seed_state, seed.entry.record().state_version)?;
        }
        if with_blend && blend.instance.state()? != snapshot.blend_state {
            blend.instance.restore(&snapshot.blend_state, blend.entry.record().state_version)?;
        }
        Ok(())
    }
}
