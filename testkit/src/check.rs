//! The list of all checks with their names, promises and bodies.

use crate::checks::{
    blend, build, cached, config, forward, gradients, host, inputs, instances, memory, process, pytorch,
    random, samples, state,
};
use crate::failure::Outcome;
use crate::subject::Subject;
use kasmina_plugin_api::{Capability, Kind};
use kasmina_registry::Entry;
use std::fmt::Write as _;

/// A check of one promise of the plugin interface.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Check {
    /// Stable name of the check, for example `deterministic`.
    pub name: &'static str,
    /// What the check verifies, in one line.
    pub promise: &'static str,
    /// The kinds of entries that the check applies to. Empty for the check of the whole file.
    pub kinds: &'static [Kind],
    /// The capability that an entry must declare for the check to apply.
    pub declared: Option<Capability>,
    /// Names of the checks that must pass first.
    pub(crate) prerequisites: &'static [&'static str],
    /// Whether the check needs a child process of its own, because it examines the state of the process.
    pub(crate) own_process: bool,
    pub(crate) body: Option<fn(&Subject) -> Outcome>,
}

impl Check {
    /// Whether the check applies to an entry with this kind and these capabilities.
    pub fn applies_to(&self, kind: Kind, capabilities: &[String]) -> bool {
        let declared = self.declared.is_none_or(|c| capabilities.iter().any(|word| word == c.as_str()));
        self.kinds.contains(&kind) && declared
    }
    pub(crate) fn applies_to_entry(&self, entry: &Entry) -> bool {
        self.applies_to(entry.kind(), &entry.record().capabilities)
    }
    /// Describes the entries that the check applies to: `all`, `the file`, `blueprints, blends`, ...
    pub fn scope(&self) -> String {
        if self.kinds.is_empty() {
            return "the file".to_owned();
        }
        let kinds = match self.kinds {
            all if all.len() == 3 => "all".to_owned(),
            some => some.iter().map(|kind| format!("{kind}s")).collect::<Vec<_>>().join(", "),
        };
        self.declared.map_or(kinds.clone(), |c| format!("{kinds} that declare `{}`", c.as_str()))
    }
}

const ALL: &[Kind] = &[Kind::Blueprint, Kind::Blend, Kind::Host];
const STATEFUL: &[Kind] = &[Kind::Blueprint, Kind::Blend];
const BLUEPRINTS: &[Kind] = &[Kind::Blueprint];
const BLENDS: &[Kind] = &[Kind::Blend];
const HOSTS: &[Kind] = &[Kind::Host];
/// Name of the only check of a whole file.
pub(crate) const LISTING: &str = "listing";
/// Name of the only check that the parent process completes, because only the parent sees the output of the
/// child.
pub(crate) const STDOUT: &str = "stdout";
const NEEDS_BUILD: &[&str] = &["build"];
const NEEDS_FORWARD: &[&str] = &["build", "forward"];

const fn check(
    name: &'static str,
    kinds: &'static [Kind],
    prerequisites: &'static [&'static str],
    body: fn(&Subject) -> Outcome,
    promise: &'static str,
) -> Check {
    Check { name, promise, kinds, declared: None, prerequisites, own_process: false, body: Some(body) }
}

const fn declared(capability: Capability, check: Check) -> Check {
    Check { declared: Some(capability), ..check }
}

const fn own_process(check: Check) -> Check {
    Check { own_process: true, ..check }
}

#[rustfmt::skip]
static CHECKS: [Check; 33] = [
    Check {
        name: LISTING,
        promise: "it loads, and what its code lists is what its records say, under well-formed names",
        kinds: &[], declared: None, prerequisites: &[], own_process: false, body: None,
    },
    check("schema", ALL, &[], config::schema,
        "the configuration has a JSON Schema, and its defaults are valid by it"),
    check("config", ALL, &[], config::invalid,
        "invalid configurations, also unknown settings, are refused, and no configuration causes a panic"),
    check("build", ALL, &[], build::build,
        "it builds with the default configuration; its variables are finite and have unique names"),
    check("forward", ALL, NEEDS_BUILD, forward::forward,
        "for all tested sizes of slot and batch the output has the promised shape and dtype, and is finite"),
    check("seeded", ALL, NEEDS_BUILD, build::seeded,
        "the same random seed gives the same variables, another one gives others"),
    check("cost", BLUEPRINTS, NEEDS_BUILD, build::cost,
        "the number of parameters that it declares is the number that it builds"),
    check("drop", ALL, NEEDS_FORWARD, build::drop_instances,
        "fresh and used instances can be dropped without a panic"),
    check("memory", ALL, NEEDS_BUILD, memory::build_and_drop,
        "building and dropping it five hundred times leaks no memory"),
    check("keeps_nothing", ALL, NEEDS_FORWARD, memory::keeps_nothing,
        "it keeps no reference to its inputs after a call"),
    check("untouched_inputs", ALL, NEEDS_FORWARD, inputs::untouched,
        "it never writes to its inputs in place"),
    check("odd_inputs", ALL, NEEDS_FORWARD, inputs::unusual,
        "NaN, infinity, unusual batches, dtypes and channels give a result or an error, and it stays usable"),
    check("gradients", ALL, NEEDS_FORWARD, gradients::reach_everything,
        "finite gradients reach its inputs, and within two steps all of its parameters"),
    declared(Capability::IdentityAtBirth,
        check("identity_at_birth", BLUEPRINTS, NEEDS_FORWARD, forward::identity,
        "the output of a fresh seed is its input")),
    check("state", STATEFUL, NEEDS_FORWARD, state::round_trip,
        "another instance that restores its state returns the same state bytes and the same output"),
    check("strange_state", STATEFUL, NEEDS_FORWARD, state::invalid,
        "invalid state bytes, or those of another version, are refused or accepted, but cause no panic"),
    check("deterministic", ALL, NEEDS_FORWARD, random::deterministic,
        "the same seed gives the same bits: outputs, gradients, statistics"),
    check("randomness", ALL, NEEDS_FORWARD, random::randomness,
        "it draws random numbers only if it declares so, and only in training"),
    check("batch_independent", ALL, NEEDS_FORWARD, samples::batch_independent,
        "in eval mode a sample's output does not depend on the other samples of its batch"),
    check("causal", ALL, NEEDS_FORWARD, samples::causal,
        "in a sequence, no position depends on a later one"),
    check("independent", ALL, NEEDS_FORWARD, instances::independent,
        "one instance does not change another"),
    check("other_thread", ALL, NEEDS_FORWARD, instances::other_thread,
        "it may be built on one thread and used on another"),
    check("curve", BLENDS, NEEDS_BUILD, blend::curve,
        "its curve is finite on [0, 1], and its last value is greater than its first"),
    check("ends", BLENDS, NEEDS_FORWARD, blend::ends,
        "at alpha 0 the mixture is the host's features; a remark if it is not the seed's at alpha 1"),
    declared(Capability::SeedAtOne, check("seed_at_one", BLENDS, NEEDS_FORWARD, blend::seed_at_one,
        "it has no gate, and at alpha 1 the mixture is the seed's features")),
    check("per_sample", BLENDS, NEEDS_FORWARD, blend::per_sample,
        "with an alpha per sample, each sample is mixed as it would be alone"),
    check("gate", BLENDS, NEEDS_FORWARD, blend::gate,
        "its gate, if it has one, is one finite number in [0, 1] per sample or position"),
    check("taps", HOSTS, NEEDS_FORWARD, host::taps,
        "it visits each slot once and in order, uses the features that taps return, and returns their errors"),
    check("cached", HOSTS, NEEDS_FORWARD, cached::cached,
        "if it keeps tokens between calls, reading a sequence in parts gives what reading it at once gives"),
    check("pytorch", ALL, NEEDS_FORWARD, pytorch::same_output,
        "its PyTorch source, if it has one, computes what it computes, with the same names of weights"),
    own_process(check("process", ALL, NEEDS_FORWARD, process::unchanged,
        "it leaves directory, environment, signals and torch's settings unchanged, and no thread running")),
    check("latency", ALL, NEEDS_FORWARD, process::latency,
        "a small forward takes less than a second"),
    check(STDOUT, ALL, NEEDS_FORWARD, process::prints_nothing,
        "it writes nothing to standard output during any check"),
];

/// Returns all checks, in the order of the report.
pub fn checks() -> &'static [Check] {
    &CHECKS
}

pub(crate) fn find(name: &str) -> Option<&'static Check> {
    checks().iter().find(|check| check.name == name)
}

/// Returns the table of all checks in Markdown, as in `docs/guide/testing.md`.
pub fn table() -> String {
    let mut table = "| check | applies to | what it verifies |\n|---|---|---|\n".to_owned();
    for check in checks() {
        let _ = writeln!(table, "| `{}` | {} | {} |", check.name, check.scope(), check.promise);
    }
    table
}
