//! The limit on builds of a plugin in one process. The only test of its program, because the count is per
//! process.

use kasmina_registry::{MOST_GENERATIONS, RegistryError, Rule, mappings};
use kasmina_tests::behaviours::Waver;
use kasmina_tests::builds::Builds;
use kasmina_tests::registry;

#[test]
fn builds_of_a_plugin_beyond_the_limit_are_refused() {
    let builds = Builds::new();
    let registry = registry(&[]);
    for mark in 0..MOST_GENERATIONS as u32 {
        let staged = registry.stage(&builds.make(Waver::Linear, mark)).unwrap();
        registry.commit(&staged);
    }
    let error = registry.stage(&builds.make(Waver::Linear, 1000)).unwrap_err();
    let RegistryError::Refused(refusal) = error else { panic!("{error:?}") };
    assert_eq!(refusal.rule, Rule::Generations);
    insta::assert_snapshot!(refusal.found);
    // A build that is already mapped can still be swapped in again.
    let staged = registry.stage(&builds.make(Waver::Linear, 3)).unwrap();
    registry.commit(&staged);
    assert_eq!(registry.retired().len(), MOST_GENERATIONS - 1);
    let mapped = mappings();
    let waver = mapped.iter().filter(|m| m.name == "fixture_waver");
    let mut addresses: Vec<usize> = waver.map(|m| m.address).collect();
    addresses.sort_unstable();
    addresses.dedup();
    assert_eq!(addresses.len(), MOST_GENERATIONS, "each build is mapped once");
}
