//! Names of the weights, in checkpoints and in exports.

use crate::Structure;

/// Where the weights of each part of a network are found, as prefixes of their names.
#[derive(Debug, Clone)]
pub(crate) struct Names {
    /// Prefix of the host's weights.
    pub(crate) host: String,
    /// Prefixes of the seeds and blends, in the order of the structure's seeds. A blend that does not take
    /// part in the output has none.
    pub(crate) seeds: Vec<(String, Option<String>)>,
}

impl Names {
    /// The names in a checkpoint.
    pub(crate) fn saved(structure: &Structure) -> Self {
        let seeds = structure.seeds.iter().map(|seed| {
            let of = |kind: &str| format!("slot.{}.{kind}.", seed.slot);
            (of("seed"), (!seed.seed_alone).then(|| of("blend")))
        });
        Self { host: "host.".to_owned(), seeds: seeds.collect() }
    }

    /// The names in an export, which are those of the generated PyTorch modules.
    pub(crate) fn exported(structure: &Structure) -> Self {
        let seeds = structure.seeds.iter().map(|seed| {
            let slot = format!("network.slots.{}.", key(&seed.slot));
            if seed.seed_alone {
                return (slot, None);
            }
            (format!("{slot}seed."), Some(format!("{slot}blend.")))
        });
        Self { host: "network.".to_owned(), seeds: seeds.collect() }
    }

    /// Whether a weight belongs to a seed or a blend.
    pub(crate) fn is_of_seed(&self, name: &str) -> bool {
        self.seeds.iter().any(|(seed, blend)| {
            name.starts_with(seed) || blend.as_ref().is_some_and(|blend| name.starts_with(blend))
        })
    }

    /// Returns the prefixes of all parts.
    fn all(&self) -> impl Iterator<Item = &str> {
        let seeds = self.seeds.iter().flat_map(|(seed, blend)| [Some(seed.as_str()), blend.as_deref()]);
        seeds.flatten().chain([self.host.as_str()])
    }

    /// Returns the name that a weight with a name of `self` has in `other`; `None` if it belongs to no part.
    pub(crate) fn renamed(&self, name: &str, other: &Self) -> Option<String> {
        self.all().zip(other.all()).find_map(|(from, to)| Some(format!("{to}{}", name.strip_prefix(from)?)))
    }
}

/// The name of a slot as the key of a `ModuleDict`, which has no dots.
pub(crate) fn key(slot: &str) -> String {
    slot.replace('.', "_")
}
