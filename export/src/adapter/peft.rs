//! Adapters in the format of PEFT.
//!
//! PEFT adds a low-rank change to linear layers. The generated module has a linear layer with the identity
//! as its weight in each slot, so that the change alone is the seed.

use crate::names::key;
use crate::{SeedInSlot, Structure};
use serde_json::{Map, Value, json};

/// The blueprint that PEFT can compute.
const LORA: &str = "kasmina_blueprints_transformer::lora";
/// What PEFT calls the two matrices, and what the seed calls them.
const MATRICES: [(&str, &str); 2] = [("lora_A.weight", "down.weight"), ("lora_B.weight", "up.weight")];
/// The rank of the blueprint, and its `alpha`, unless they are configured.
const DEFAULT: u64 = 8;

/// A network whose seeds are all of the blueprint `lora`.
#[derive(Debug)]
pub(super) struct Peft<'a>(&'a [SeedInSlot]);

impl<'a> Peft<'a> {
    /// Returns `None` if a seed is of another blueprint, or mixed with the features of its host.
    pub(super) fn of(network: &'a Structure) -> Option<Self> {
        let fits = |seed: &SeedInSlot| seed.seed_alone && seed.seed.entry.full_name() == LORA;
        network.seeds.iter().all(fits).then_some(Self(&network.seeds))
    }

    /// Returns the content of `adapter_config.json`.
    pub(super) fn config(&self) -> Value {
        let settings = |name: &str| -> Map<String, Value> {
            self.0.iter().map(|seed| (module(seed), setting(seed, name))).collect()
        };
        let (ranks, alphas) = (settings("rank"), settings("alpha"));
        json!({
            "peft_type": "LORA",
            "task_type": null,
            "base_model_name_or_path": null,
            "inference_mode": true,
            "target_modules": self.0.iter().map(module).collect::<Vec<_>>(),
            "r": ranks.values().next(),
            "lora_alpha": alphas.values().next(),
            "rank_pattern": ranks,
            "alpha_pattern": alphas,
            "lora_dropout": 0.0,
            "bias": "none",
            "fan_in_fan_out": false,
        })
    }

    /// Checks that PEFT computes with the scales that the seeds have.
    ///
    /// # Errors
    /// Returns the first setting that differs, in words.
    pub(super) fn check(&self, found: &Value) -> Result<(), String> {
        let is_off = |value: &Value| {
            matches!(value, Value::Null | Value::Bool(false))
                || value == "none"
                || value.as_array().is_some_and(Vec::is_empty)
        };
        for name in ["use_rslora", "use_dora", "bias", "modules_to_save", "fan_in_fan_out", "lora_bias"] {
            if !is_off(&found[name]) {
                return Err(format!("`{name}` is {}, which the seeds do not have", found[name]));
            }
        }
        for (pattern, name, own) in [("rank_pattern", "r", "rank"), ("alpha_pattern", "lora_alpha", "alpha")]
        {
            for seed in self.0 {
                let module = module(seed);
                let given = found[pattern].get(&module).unwrap_or(&found[name]).as_f64();
                let wanted = setting(seed, own);
                if given != wanted.as_f64() {
                    let given = given.map_or_else(|| "missing".to_owned(), |number| number.to_string());
                    return Err(format!("`{name}` of `{module}` is {given}; the seed has {wanted}"));
                }
            }
        }
        Ok(())
    }

    /// Returns PEFT's name of a weight that is named as in a checkpoint.
    pub(super) fn name(&self, name: &str) -> String {
        self.pairs().find(|(own, _)| own == name).map_or_else(|| name.to_owned(), |(_, peft)| peft)
    }

    /// Returns the name in a checkpoint of a weight that is named as PEFT does.
    pub(super) fn own_name(&self, name: &str) -> Option<String> {
        self.pairs().find(|(_, peft)| peft == name).map(|(own, _)| own)
    }

    /// Returns both names of each weight.
    fn pairs(&self) -> impl Iterator<Item = (String, String)> {
        self.0.iter().flat_map(|seed| {
            MATRICES.map(|(peft, own)| {
                (
                    format!("slot.{}.seed.{own}", seed.slot),
                    format!("base_model.model.{}.{peft}", module(seed)),
                )
            })
        })
    }
}

/// Returns `rank` or `alpha` of a seed.
fn setting(seed: &SeedInSlot, name: &str) -> Value {
    seed.seed.config.get(name).cloned().unwrap_or(DEFAULT.into())
}

/// Name of the linear layer in the generated module.
fn module(seed: &SeedInSlot) -> String {
    format!("slots.{}", key(&seed.slot))
}
