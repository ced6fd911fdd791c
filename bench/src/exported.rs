//! An exported network in PyTorch, with and without folding, beside the same network written by hand.

use anyhow::{Context as _, Result};
use kasmina_export::{Options, export};
use kasmina_trainer::config::{DataConfig, HostConfig, PreinstalledSeed};
use kasmina_trainer::run::{Choice, SavedNetwork};
use kasmina_trainer::{RunConfig, Trainer};
use std::path::Path;
use std::sync::atomic::AtomicBool;
use tch::Device;

/// Numbers of samples at a time.
pub(crate) const BATCHES: [i64; 2] = [1, 128];
/// Channels of the first block of the host.
pub(crate) const BASE: i64 = 32;

/// Returns the name of a row.
pub(crate) fn name(device: Device, net: &str) -> String {
    format!("{} exported {net}", if device.is_cuda() { "cuda" } else { "cpu" })
}

/// Trains a network for one epoch with a seed that can be folded and one that cannot, and exports it to the
/// folders `whole` and `folded`.
pub(crate) fn prepare(home: &Path) -> Result<()> {
    let registry = kasmina_tests::registry(&[]);
    let seed = |slot: &str, blueprint: &str| PreinstalledSeed {
        slot: slot.to_owned(),
        epoch: 0,
        blueprint: Some(blueprint.to_owned()),
    };
    let mut config = RunConfig {
        data: DataConfig { train_samples: Some(256), validation_samples: Some(64), ..DataConfig::default() },
        epochs: 1,
        controller: "none".to_owned(),
        device: "cpu".to_owned(),
        preinstalled: vec![seed("mid", "conv_light"), seed("late", "graph")],
        ..RunConfig::default()
    };
    config.host = HostConfig { id: "cnn".to_owned(), ..config.host };
    config.host.config.insert("base_channels".to_owned(), BASE.into());
    let run = home.join("run");
    Trainer::prepare(config, &registry)?
        .run(Some(&run), &mut (), &AtomicBool::new(false))
        .context("training an epoch")?;
    let saved = SavedNetwork::open(&run, Choice::Last)?;
    for (name, fold) in [("whole", false), ("folded", true)] {
        export(&saved, &registry, &home.join(name), Options { fold, ..Options::default() })?;
    }
    Ok(())
}
