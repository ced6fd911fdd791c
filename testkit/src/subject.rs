//! One entry under examination.

use crate::failure::{At, Failure, broken};
use crate::live::Live;
use crate::place::{Input, KNOWN, Place};
use kasmina_plugin_api::{Capability, ErrorKind, Kind, PluginError, Topology};
use kasmina_registry::{Entry, RegistryError};
use kasmina_torch_ext::rng::RngFork;

pub(crate) struct Subject {
    pub(crate) entry: Entry,
    pub(crate) seed: u64,
    /// What it is built with; empty for its default.
    pub(crate) config: String,
}

/// Channels at which a slot may well be, the likeliest first.
pub(crate) const CHANNELS: [i64; 5] = [16, 8, 48, 3, 1];

impl Subject {
    pub(crate) fn new(entry: Entry, seed: u64, config: String) -> Self {
        Self { entry, seed, config }
    }

    pub(crate) fn declares(&self, capability: Capability) -> bool {
        self.entry.declares(capability)
    }

    /// An instance with the variables that this check's seed gives.
    pub(crate) fn make(&self, place: &Place) -> Result<Live, Failure> {
        self.make_seeded(place, self.seed)
    }
    pub(crate) fn make_seeded(&self, place: &Place, seed: u64) -> Result<Live, Failure> {
        let _fork = RngFork::seeded(seed)?;
        Live::make(&self.entry, place, &self.config).at(place)
    }

    /// Where this entry can be tried: a site of each topology that it serves, or a host's input.
    pub(crate) fn places(&self) -> Result<Vec<Place>, Failure> {
        if self.entry.kind() == Kind::Host {
            return self.outside().map(|place| vec![place]);
        }
        self.topologies()?.into_iter().map(|topology| self.place(topology)).collect()
    }

    /// The topologies that it says it serves and the kit can make features of.
    pub(crate) fn topologies(&self) -> Result<Vec<Topology>, Failure> {
        let served: Vec<_> = KNOWN.into_iter().filter(|topology| self.entry.serves(*topology)).collect();
        if served.is_empty() {
            let others = self.entry.record().topologies.join(", ");
            return Err(Failure::NotHere(format!("the kit can make no features of topology {others}")));
        }
        Ok(served)
    }

    /// The first site of a topology that it does not refuse.
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
            // Some entries mean nothing without settings: a file to read, a list of layers.
            let why = refusals.swap_remove(0);
            return Err(Failure::NotHere(format!(
                "it does not build without a configuration; give one ({why})"
            )));
        }
        broken(format!("it serves {topology}, but refuses every site of it: {}", refusals.join("; ")))
    }

    /// Why it will not live somewhere, if it says so in the way that is meant for it.
    pub(crate) fn refusal(&self, place: &Place) -> Result<Option<PluginError>, Failure> {
        let _fork = RngFork::seeded(self.seed)?;
        match Live::make(&self.entry, place, &self.config) {
            Ok(_) => Ok(None),
            Err(RegistryError::Build { error, .. })
                if matches!(error.kind, ErrorKind::Unsupported | ErrorKind::Config) =>
            {
                Ok(Some(error))
            }
            Err(other) => Err(other).at(place),
        }
    }

    /// The first input that this host takes: what a host eats is its task's business, and no record tells.
    fn outside(&self) -> Result<Place, Failure> {
        let mut live = self.make(&Place::outside(Input::new(&[])))?;
        let mut answers = Vec::new();
        for input in candidates(self.entry.schema()) {
            let place = Place::outside(input);
            match live.measure(&place.batch(2)?) {
                Ok(_) => return Ok(place),
                Err(error) if matches!(error.kind, ErrorKind::Panic | ErrorKind::Poisoned) => {
                    return Err(error).at(place);
                }
                Err(error) => answers.push(format!("{place}: {error}")),
            }
        }
        let tried = answers.len();
        let first = answers.into_iter().next().unwrap_or_default();
        // A host with features of its own may well ask for inputs of its own.
        if !KNOWN.into_iter().any(|topology| self.entry.serves(topology)) {
            return Err(Failure::NotHere(format!("the kit can make no input that it takes; {first}")));
        }
        broken(format!(
            "it takes none of the {tried} inputs that the kit knows (images, tokens, sequences); {first}"
        ))
    }
}

/// Images, tokens, sequences of vectors; first with as many channels as the configuration's default says.
fn candidates(schema: &serde_json::Value) -> Vec<Input> {
    let told = schema.pointer("/properties/in_channels/default").and_then(serde_json::Value::as_i64);
    let channels: Vec<i64> = told.into_iter().chain([3, 1]).collect();
    let images = [32, 16, 28, 64, 224]
        .into_iter()
        .flat_map(|side| channels.iter().map(move |c| Input::new(&[*c, side, side])));
    let tokens = [8, 16, 32].map(Input::tokens);
    let widths = told.into_iter().chain([3, 16, 8, 12, 32, 64]);
    let sequences = widths.map(|width| Input::new(&[5, width]));
    images.chain(tokens).chain(sequences).collect()
}
