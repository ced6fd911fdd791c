//! Moving a model to another device. Instances do not move: they are built again on the new device, and their
//! variables and state bytes are copied.

use super::growth::Transaction;
use super::{HOST_OWNER, ModelError, MorphogeneticModel};
use crate::graft::LiveSeed;
use kasmina_torch_ext::rng::RngFork;
use kasmina_torch_ext::{Change, NamedParameter, ParameterSink};
use tch::Device;

impl MorphogeneticModel {
    /// Moves host, seeds and blends with their variables and state to a device, and the optimizer's state
    /// with them. Call it between two training steps. Ends a trial first, as [`confirm`](Self::confirm)
    /// does.
    ///
    /// # Errors
    /// If an instance cannot be built on the device, or the optimizer refuses; then nothing has moved.
    pub fn to_device(&mut self, device: Device, sink: &mut dyn ParameterSink) -> Result<(), ModelError> {
        self.confirm(sink)?;
        // Building draws initial weights, which are overwritten; the fork keeps the generators unchanged.
        let _fork = RngFork::here()?;
        let (host, host_parameters) = self.network.rebuilt_on(device)?;
        let mut moved = Vec::with_capacity(self.slots.len());
        for slot in self.slots.iter() {
            let site = slot.site().with_device(device);
            let live = slot.live().map(|live| live.rebuilt(slot.name(), &site)).transpose()?;
            if slot.lifecycle().is_leaving() {
                live.iter().for_each(LiveSeed::freeze);
            }
            let monitor = slot.monitor_on(device, live.as_ref())?;
            moved.push((live, monitor));
        }
        let replace = |owner: String, parameters: &[NamedParameter]| Change::Replace {
            owner,
            parameters: parameters.iter().map(NamedParameter::share).collect(),
        };
        let host_learns = self.network.frozen.is_none();
        let mut changes: Vec<Change> =
            host_learns.then(|| replace(HOST_OWNER.to_owned(), &host_parameters)).into_iter().collect();
        for (slot, (live, _)) in self.slots.iter().zip(&moved) {
            let Some(live) = live else { continue };
            let groups = live.groups(slot.name());
            changes.extend(groups.map(|(owner, _, parameters)| replace(owner, parameters)));
        }
        let transaction = Transaction::prepare(sink, changes)?;
        // From here on nothing can fail.
        transaction.commit(sink);
        self.network.relocate(device, host, host_parameters);
        for (slot, (live, monitor)) in self.slots.iter_mut().zip(moved) {
            slot.relocate(device, live, monitor);
        }
        self.structure_changed();
        Ok(())
    }
}
