//! The owners of trainable tensors. No tensor has two owners.

use crate::graft::{LiveSeed, SeedSlot};
use kasmina_torch_ext::NamedParameter;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;

/// The owner of a trainable tensor.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(tag = "owner", rename_all = "snake_case")]
pub enum Owner {
    /// The host network.
    Host,
    /// A seed module.
    Seed {
        /// Name of the slot.
        slot: String,
        /// Id of the seed.
        seed_id: String,
    },
    /// The gate of a seed's blend.
    Gate {
        /// Name of the slot.
        slot: String,
        /// Id of the seed that the blend belongs to.
        seed_id: String,
    },
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host => f.write_str("the host"),
            Self::Seed { slot, seed_id } => write!(f, "seed `{seed_id}` in slot `{slot}`"),
            Self::Gate { slot, seed_id } => write!(f, "the gate of seed `{seed_id}` in slot `{slot}`"),
        }
    }
}

/// Why parameters cannot be added: a tensor would have two owners.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("parameter `{parameter}` of {owner} already belongs to {other} as `{name}`")]
pub struct OwnershipError {
    /// Name of the added parameter.
    pub parameter: String,
    /// Owner that adds the parameter.
    pub owner: Owner,
    /// Owner that has the tensor already.
    pub other: Owner,
    /// Name of the tensor at that owner.
    pub name: String,
}

impl Owner {
    /// Returns the parameters of seed and blend, each with its owner.
    pub(super) fn of<'a>(slot: &str, seed_id: &str, live: &'a LiveSeed) -> [(Self, &'a [NamedParameter]); 2] {
        let (slot, seed_id) = (slot.to_owned(), seed_id.to_owned());
        let gate = Self::Gate { slot: slot.clone(), seed_id: seed_id.clone() };
        [(Self::Seed { slot, seed_id }, live.seed().parameters()), (gate, live.blend().parameters())]
    }
}

/// For every trainable tensor of a model, its owner and its name.
#[derive(Debug, Default)]
pub struct ParameterRegistry {
    /// By the address of the tensor's storage.
    owned: BTreeMap<usize, (Owner, String)>,
}

impl ParameterRegistry {
    /// Lists the parameters of the host and of the seeds and blends in these slots.
    pub(super) fn of(host: &[NamedParameter], slots: &[SeedSlot]) -> Self {
        let mut registry = Self::default();
        registry.insert(&Owner::Host, host);
        for slot in slots {
            let (Some(live), Some(seed)) = (slot.live(), slot.lifecycle().seed()) else { continue };
            for (owner, parameters) in Owner::of(slot.name(), &seed.seed_id, live) {
                registry.insert(&owner, parameters);
            }
        }
        registry
    }

    /// Checks whether these parameters can be added together.
    ///
    /// # Errors
    /// Names the first parameter that has an owner already or occurs twice in `added`.
    pub fn check<'a>(
        &self,
        added: impl IntoIterator<Item = (&'a Owner, &'a [NamedParameter])>,
    ) -> Result<(), Box<OwnershipError>> {
        let mut claimed: BTreeMap<usize, (Owner, String)> = BTreeMap::new();
        let all =
            added.into_iter().flat_map(|(owner, parameters)| parameters.iter().map(move |p| (owner, p)));
        for (owner, parameter) in all {
            let Some(address) = parameter.address() else { continue };
            let claim = (owner.clone(), parameter.name.clone());
            let duplicate = claimed.insert(address, claim);
            if let Some((other, name)) = self.owned.get(&address).cloned().or(duplicate) {
                let (parameter, owner) = (parameter.name.clone(), owner.clone());
                return Err(Box::new(OwnershipError { parameter, owner, other, name }));
            }
        }
        Ok(())
    }

    /// Adds the parameters of one owner, without a check.
    fn insert(&mut self, owner: &Owner, parameters: &[NamedParameter]) {
        let entries = parameters.iter().filter_map(|p| Some((p.address()?, (owner.clone(), p.name.clone()))));
        self.owned.extend(entries);
    }

    /// Returns the owner of a parameter, and its name there; `None` if it has no owner.
    pub fn owner_of(&self, parameter: &NamedParameter) -> Option<(&Owner, &str)> {
        self.owned.get(&parameter.address()?).map(|(owner, name)| (owner, name.as_str()))
    }

    /// Returns every owner and name, sorted.
    pub fn entries(&self) -> Vec<(&Owner, &str)> {
        let mut all: Vec<_> = self.owned.values().map(|(owner, name)| (owner, name.as_str())).collect();
        all.sort();
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind, Tensor};

    #[test]
    fn a_tensor_with_two_owners_is_refused() {
        let parameter = |name: &str| NamedParameter {
            name: name.to_owned(),
            tensor: Tensor::zeros([3], (Kind::Float, Device::Cpu)),
        };
        let seed = |id: &str| Owner::Seed { slot: "early".to_owned(), seed_id: id.to_owned() };
        let (host, one) = (parameter("host.w"), parameter("slot.early.seed.w"));
        let mut registry = ParameterRegistry::default();
        registry.insert(&Owner::Host, &[host.share()]);
        let check = |registry: &ParameterRegistry, owner: &Owner, parameters: &[NamedParameter]| {
            registry.check([(owner, parameters)])
        };
        check(&registry, &seed("s1"), &[one.share()]).expect("it has no owner yet");
        let stolen = NamedParameter { name: "slot.early.seed.v".to_owned(), ..host.share() };
        insta::assert_snapshot!(
            check(&registry, &seed("s1"), &[one.share(), stolen]).expect_err("the host owns it"),
            @"parameter `slot.early.seed.v` of seed `s1` in slot `early` already belongs to the host as `host.w`"
        );
        check(&registry, &seed("s1"), &[one.share(), one.share()]).expect_err("one tensor, two names");
        let gate = Owner::Gate { slot: "early".to_owned(), seed_id: "s1".to_owned() };
        let (mine, shared) = ([one.share()], [one.share()]);
        let both = registry.check([(&seed("s1"), mine.as_slice()), (&gate, shared.as_slice())]);
        insta::assert_snapshot!(
            both.expect_err("a seed and its gate are two owners"),
            @"parameter `slot.early.seed.w` of the gate of seed `s1` in slot `early` already belongs to seed `s1` in slot `early` as `slot.early.seed.w`"
        );
        registry.insert(&seed("s1"), &[one.share()]);
        assert_eq!(registry.owner_of(&one), Some((&seed("s1"), "slot.early.seed.w")));
        check(&registry, &seed("s2"), &[one.share()]).expect_err("seed s1 owns it");
        assert_eq!(registry.entries().len(), 2);
    }
}
