//! Each blueprint grows in a host.

use crate::seeds::blueprints;
use kasmina::ModelConfig;
use kasmina::lifecycle::Stage;
use kasmina::model::Precision;
use kasmina_plugin_api::{Mode, Topology};
use kasmina_tests::bench::{Bench, config, easy};

/// Grows each blueprint, by its bare id, in a host of its topology and in either precision, until HOLDING.
#[test]
fn each_blueprint_grows_in_a_host_of_its_topology() {
    let sequence = ModelConfig { host: "sequence".into(), ..config(&["layer0"], "contiguous") };
    let sequence = ModelConfig { host_config: String::new(), ..sequence };
    let hosts = [
        (Topology::CNN, config(&["block1"], "channels_last"), [16, 1, 8, 8].as_slice()),
        (Topology::TRANSFORMER, sequence, [16, 6, 3].as_slice()),
    ];
    let mut grown = Vec::new();
    for (topology, host, shape) in hosts {
        for precision in [Precision::Fp32, Precision::Bf16] {
            let config = ModelConfig { precision, task: easy(), ..host.clone() };
            for entry in blueprints() {
                // Only blueprints of one topology: the control, `noop`, serves both and never passes G2.
                let own = entry.record().topologies.contains(&topology.as_str().to_owned());
                if !own {
                    continue;
                }
                let mut bench = Bench::over(&config, shape);
                let alone = bench.loss(Mode::Eval);
                let slot = config.slots[0].as_str();
                bench.germinate(slot, entry.id(), "linear").unwrap();
                let (blueprint, _) = bench.model.slot(slot).unwrap().entries().unwrap();
                assert_eq!(blueprint.full_name(), entry.full_name(), "{topology}");
                bench.reach(Stage::Training);
                assert!(bench.model.reports()[0].stage < Stage::Blending);
                let trained = bench.loss(Mode::Eval);
                bench.reach(Stage::Holding);
                let held = bench.loss(Mode::Eval);
                assert!(held < trained && trained < alone, "{} {alone} {trained} {held}", entry.full_name());
                assert!(bench.model.reports()[0].healthy, "{:?}", bench.model.reports());
                assert!(bench.optimizer.skipped_steps().unwrap().values().all(|skipped| *skipped == 0));
                grown.push(format!("{} {}", entry.full_name(), precision.as_str()));
            }
        }
    }
    let own = blueprints().iter().map(|entry| entry.record().topologies.len()).sum::<usize>();
    assert_eq!(grown.len(), 2 * own, "{grown:?}");
}
