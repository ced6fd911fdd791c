//! How many builds of a plugin one process holds. Alone in its program: what is counted belongs to the
//! process.

use kasmina_registry::{MOST_GENERATIONS, RegistryError, Rule, mappings};
use kasmina_tests::behaviours::Waver;
use kasmina_tests::builds::Builds;
use kasmina_tests::registry;

#[test]
fn a_process_holds_so_many_builds_of_a_plugin_and_says_so() {
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
    // What is in the process already costs nothing: one may still go back.
    let staged = registry.stage(&builds.make(Waver::Linear, 3)).unwrap();
    registry.commit(&staged);
    assert_eq!(registry.retired().len(), MOST_GENERATIONS - 1);
    let mapped = mappings();
    let waver = mapped.iter().filter(|m| m.name == "fixture_waver");
    let mut addresses: Vec<usize> = waver.map(|m| m.address).collect();
    addresses.sort_unstable();
    addresses.dedup();
    assert_eq!(addresses.len(), MOST_GENERATIONS, "each is an image of its own");
}
