//! The entry that a check examines.

use crate::failure::{At, Failure, broken};
use crate::instance::Instance;
use crate::place::{Input, KNOWN, Place};
use kasmina_plugin_api::{Capability, ErrorKind, Kind, PluginError, Topology};
use kasmina_registry::{Entry, RegistryError};
use kasmina_torch_ext::rng::RngFork;

pub(crate) struct Subject {
    pub(crate) entry: Entry,
    /// Seed of the random numbers of this check.
    pub(crate) seed: u64,
    /// Configuration as JSON; empty for the default.
    pub(crate) config: String,
}

/// Channel counts of the sites that are tried, in this order.
pub(crate) const CHANNELS: [i64; 5] = [16, 8, 48, 3, 1];

impl Subject {
    pub(crate) fn new(entry: Entry, seed: u64, config: String) -> Self {
        Self { entry, seed, config }
    }

    pub(crate) fn declares(&self, capability: Capability) -> bool {
        self.entry.declares(capability)
    }

    /// Builds an instance, with variables drawn from the seed of this check.
    pub(crate) fn make(&self, place: &Place) -> Result<Instance, Failure> {
        self.make_seeded(place, self.seed)
    }
    pub(crate) fn make_seeded(&self, place: &Place, seed: u64) -> Result<Instance, Failure> {
        let _fork = RngFork::seeded(seed)?;
        Instance::make(&self.entry, place, &self.config).at(place)
    }

    /// Returns the places to check: one site for each topology that the entry serves, or the input of a host.
    pub(crate) fn places(&self) -> Result<Vec<Place>, Failure> {
        if self.entry.kind() == Kind::Host {
            return self.host_place().map(|place| vec![place]);
        }
        self.topologies()?.into_iter().map(|topology| self.place(topology)).collect()
    }

    /// Returns the topologies that the entry serves and that the kit can create features for.
    pub(crate) fn topologies(&self) -> Result<Vec<Topology>, Failure> {
        let served: Vec<_> = KNOWN.into_iter().filter(|topology| self.entry.serves(*topology)).collect();
        if served.is_empty() {
            let others = self.entry.record().topologies.join(", ");
            return Err(Failure::NotApplicable(format!(
                "the kit cannot create features of topology {others}"
            )));
        }
        Ok(served)
    }

    /// Returns the first site of a topology that the entry does not refuse.
    fn place(&self, topology: Topology) -> Result<Place, Failure> {
        let (mut refusals, mut unconfigured) = (Vec::new(), self.config.is_empty());
        for channels in CHANNELS {
            let place = Place::of(topology, channels);
            match self.refusal(&place)? {
                None => return Ok(place),
                Some(why) => {
                    unconfigured &= why.kind == ErrorKind::Config;
                    refusals.push(format!("{channels} channels: {why}"));
                }
            }
        }
        if unconfigured {
            // Some entries need settings, for example a file to read or a list of layers.
            let why = refusals.swap_remove(0);
            return Err(Failure::NotApplicable(format!(
                "it does not build without a configuration; pass one ({why})"
            )));
        }
        broken(format!("it serves {topology}, but refuses every site of it: {}", refusals.join("; ")))
    }

    /// Returns the error with which the entry refuses a place, if its kind is `unsupported` or `config`.
    /// Other errors are failures.
    pub(crate) fn refusal(&self, place: &Place) -> Result<Option<PluginError>, Failure> {
        let _fork = RngFork::seeded(self.seed)?;
        match Instance::make(&self.entry, place, &self.config) {
            Ok(_) => Ok(None),
            Err(RegistryError::Build { error, .. })
                if matches!(error.kind, ErrorKind::Unsupported | ErrorKind::Config) =>
            {
                Ok(Some(error))
            }
            Err(other) => Err(other).at(place),
        }
    }

    /// Returns the first input that this host accepts. Records do not describe the inputs of hosts, so
    /// candidates are tried.
    fn host_place(&self) -> Result<Place, Failure> {
        let mut instance = self.make(&Place::for_host(Input::new(&[])))?;
        let mut answers = Vec::new();
        for input in candidates(self.entry.schema()) {
            let place = Place::for_host(input);
            match instance.measure(&place.batch(2)?) {
                Ok(_) => return Ok(place),
                Err(error) if matches!(error.kind, ErrorKind::Panic | ErrorKind::Poisoned) => {
                    return Err(error).at(place);
                }
                Err(error) => answers.push(format!("{place}: {error}")),
            }
        }
        let tried = answers.len();
        let first = answers.into_iter().next().unwrap_or_default();
        // A host whose slots have only unknown topologies may need inputs that the kit does not know.
        if !KNOWN.into_iter().any(|topology| self.entry.serves(topology)) {
            return Err(Failure::NotApplicable(format!("the kit has no input that it accepts; {first}")));
        }
        broken(format!(
            "it accepts none of the {tried} inputs of the kit (images, tokens, sequences); {first}"
        ))
    }
}

/// Returns candidate inputs for hosts: images, tokens, and sequences of vectors. The default of the setting
/// `in_channels` is tried first.
fn candidates(schema: &serde_json::Value) -> Vec<Input> {
    let default_channels =
        schema.pointer("/properties/in_channels/default").and_then(serde_json::Value::as_i64);
    let channels: Vec<i64> = default_channels.into_iter().chain([3, 1]).collect();
    let images = [32, 16, 28, 64, 224]
        .into_iter()
        .flat_map(|side| channels.iter().map(move |c| Input::new(&[*c, side, side])));
    let tokens = [8, 16, 32].map(Input::tokens);
    let widths = default_channels.into_iter().chain([3, 16, 8, 12, 32, 64]);
    let sequences = widths.map(|width| Input::new(&[5, width]));
    images.chain(tokens).chain(sequences).collect()
}
