//! The list of checks: the one place where a check has a name, a promise and a body.

use crate::checks::{
    blend, build, config, forward, gradients, host, inputs, instances, memory, random, samples, state, world,
};
use crate::failure::Outcome;
use crate::subject::Subject;
use kasmina_plugin_api::{Capability, Kind};
use kasmina_registry::Entry;
use std::fmt::Write as _;

/// One promise of the interface.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Check {
    /// Stable name of the check: `deterministic`.
    pub name: &'static str,
    /// What it makes sure of, in one line.
    pub promise: &'static str,
    /// The kinds of entry that it applies to; empty for the one that looks at the file as a whole.
    pub kinds: &'static [Kind],
    /// Only for entries that declare this.
    pub declared: Option<Capability>,
    /// The checks without which it cannot be tried.
    pub(crate) after: &'static [&'static str],
    /// Whether it looks at the process, which must then be one that nobody else has touched.
    pub(crate) fresh: bool,
    pub(crate) body: Option<fn(&Subject) -> Outcome>,
}

impl Check {
    /// Whether it is asked of an entry.
    pub fn applies_to(&self, kind: Kind, capabilities: &[String]) -> bool {
        let declared = self.declared.is_none_or(|c| capabilities.iter().any(|word| word == c.as_str()));
        self.kinds.contains(&kind) && declared
    }
    pub(crate) fn applies_to_entry(&self, entry: &Entry) -> bool {
        self.applies_to(entry.kind(), &entry.record().capabilities)
    }
    /// The kinds that it applies to, in words.
    pub fn of(&self) -> String {
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
/// The one check of a file as a whole.
pub(crate) const LISTING: &str = "listing";
/// The one check that the parent completes: it alone sees what was printed.
pub(crate) const STDOUT: &str = "stdout";
const BUILT: &[&str] = &["build"];
const RUNS: &[&str] = &["build", "forward"];

const fn check(
    name: &'static str,
    kinds: &'static [Kind],
    after: &'static [&'static str],
    body: fn(&Subject) -> Outcome,
    promise: &'static str,
) -> Check {
    Check { name, promise, kinds, declared: None, after, fresh: false, body: Some(body) }
}

const fn declared(capability: Capability, check: Check) -> Check {
    Check { declared: Some(capability), ..check }
}

const fn fresh(check: Check) -> Check {
    Check { fresh: true, ..check }
}

#[rustfmt::skip]
static CHECKS: [Check; 31] = [
    Check {
        name: LISTING,
        promise: "it loads, and what its code lists is what its records say, under well-formed names",
        kinds: &[], declared: None, after: &[], fresh: false, body: None,
    },
    check("schema", ALL, &[], config::schema,
        "the configuration has a JSON Schema, and its defaults are valid by it"),
    check("config", ALL, &[], config::bad,
        "a configuration that the schema forbids is an error, an unknown setting too; none makes it panic"),
    check("build", ALL, &[], build::builds,
        "it builds with the default configuration, with finite variables under names of their own"),
    check("forward", ALL, BUILT, forward::forward,
        "at every size of slot and batch the output has the promised shape and dtype, and is finite"),
    check("seeded", ALL, BUILT, build::seeded,
        "under the same seed it draws the same variables, under another seed others"),
    check("cost", BLUEPRINTS, BUILT, build::cost,
        "what it says that a seed costs is what it builds"),
    check("drop", ALL, RUNS, build::drops,
        "it can be dropped, fresh and used, without a panic"),
    check("memory", ALL, BUILT, memory::make_and_drop,
        "making and dropping it five hundred times leaves no memory behind"),
    check("keeps_nothing", ALL, RUNS, memory::keeps_nothing,
        "after a call it holds on to none of the tensors that it was lent"),
    check("untouched_inputs", ALL, RUNS, inputs::untouched,
        "it never writes to its inputs in place"),
    check("odd_inputs", ALL, RUNS, inputs::odd,
        "NaN, infinity, an empty batch, a huge one, other dtypes and channels give a result or an error, and it lives on"),
    check("gradients", ALL, RUNS, gradients::flow,
        "finite gradients reach its inputs, and within two steps all of its parameters"),
    declared(Capability::IdentityAtBirth, check("identity_at_birth", BLUEPRINTS, RUNS, forward::identity,
        "the output of a fresh seed is its input")),
    check("state", STATEFUL, RUNS, state::round_trip,
        "its state comes back by the byte, in an instance that then gives the same output"),
    check("strange_state", STATEFUL, RUNS, state::garbage,
        "bytes that are no state, or of another version, are an error or taken, never a panic"),
    check("deterministic", ALL, RUNS, random::deterministic,
        "the same seed gives the same bits: outputs, gradients, statistics"),
    check("randomness", ALL, RUNS, random::draws,
        "it draws random numbers only if it says so, and only in training"),
    check("batch_independent", ALL, RUNS, samples::batch_independent,
        "in eval mode a sample's output does not depend on the other samples of its batch"),
    check("causal", ALL, RUNS, samples::causal,
        "in a sequence, no position sees a later one"),
    check("independent", ALL, RUNS, instances::independent,
        "what one instance does changes nothing in another"),
    check("other_thread", ALL, RUNS, instances::other_thread,
        "it may be built on one thread and used on another"),
    check("curve", BLENDS, BUILT, blend::curve,
        "its ramp is finite between 0 and 1 and rises from its first value to its last"),
    check("ends", BLENDS, RUNS, blend::ends,
        "at alpha 0 the mixture is the host's features; whether at alpha 1 it is the seed's is told"),
    declared(Capability::SeedAtOne, check("seed_at_one", BLENDS, RUNS, blend::seed_at_one,
        "at alpha 1 the mixture is the seed's features without asking anybody: there is no gate")),
    check("per_sample", BLENDS, RUNS, blend::per_sample,
        "an alpha per sample mixes each sample as that alpha would mix it alone"),
    check("gate", BLENDS, RUNS, blend::gate,
        "its gate, if it has one, is one finite number in [0, 1] per sample"),
    check("taps", HOSTS, RUNS, host::taps,
        "it visits each slot once and in order, uses what comes back, and passes errors on"),
    fresh(check("process", ALL, RUNS, world::process,
        "it leaves directory, environment, signals, torch's threads, default dtype and grad mode as they were, and no thread behind")),
    check("latency", ALL, RUNS, world::latency,
        "a small forward takes less than a second"),
    check(STDOUT, ALL, RUNS, world::quiet,
        "it writes nothing to standard output, whatever is asked of it"),
];

/// Every check, in the order in which they are run.
pub fn checks() -> &'static [Check] {
    &CHECKS
}

pub(crate) fn find(name: &str) -> Option<&'static Check> {
    checks().iter().find(|check| check.name == name)
}

/// The table of all checks in Markdown, as it stands in the guide.
pub fn table() -> String {
    let mut table = "| check | asked of | what it makes sure of |\n|---|---|---|\n".to_owned();
    for check in checks() {
        let _ = writeln!(table, "| `{}` | {} | {} |", check.name, check.of(), check.promise);
    }
    table
}
