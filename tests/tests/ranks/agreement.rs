//! Several ranks compute what one rank computes.

use kasmina_tests::world::{LIMIT, World, command, metric, weights};
use std::fmt::Write as _;
use std::path::Path;

/// A run of 20 steps, each an epoch of its own, so that the loss of each step is in the journal. 1437 samples
/// do not divide by 2 or 4.
const DIGITS: &str = "task = \"digits\"\nepochs = 20\ndisable_seeds = true\ndevice = \"cpu\"\n\
                      [optimizer]\nbatch_size = 1437\n";
/// A network whose layers do not couple samples.
const ADDITION: &str = "task = \"addition\"\nepochs = 3\ndevice = \"cpu\"\nslots = [\"early\"]\n\
                        [data]\noperand_digits = 2\ntrain_samples = 512\nvalidation_samples = 64\n\
                        [optimizer]\nbatch_size = 62\n";

fn write(home: &Path, name: &str, text: &str, ranks: &str) {
    let mut text = text.to_owned();
    let _ = write!(text, "\n[ranks]\nlimit_seconds = {LIMIT:?}\n{ranks}\n");
    std::fs::write(home.join(name), text).unwrap();
}

fn alone(home: &Path, config: &str, out: &str) {
    let mut one = command(home);
    one.args(["train", "--config", config, "--out", out]);
    let (_, error, code) = kasmina_tests::output(one);
    assert_eq!(code, Some(0), "{error}");
}

#[test]
fn losses_are_those_of_one_rank_with_the_same_global_batch() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    write(home, "config.toml", DIGITS, "");
    alone(home, "config.toml", "one");
    let one = metric(&home.join("one"), "train_loss");
    assert_eq!(one.len(), 20);
    for size in [2, 4] {
        let out = format!("ranks{size}");
        World::start(home, size, &["train", "--config", "config.toml", "--out", &out], |_, _| {})
            .must_succeed();
        let many = metric(&home.join(&out), "train_loss");
        let largest = one.iter().zip(&many).map(|(a, b)| ((a - b) / a).abs()).fold(0.0, f64::max);
        assert!(largest <= 1e-5, "{size} ranks: {largest:e}\n{one:?}\n{many:?}");
    }
}

/// A batch in parts, each shared by three ranks, has the batch statistics of the same parts on one rank.
#[test]
fn accumulated_batches_are_those_of_one_rank() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    write(home, "config.toml", &format!("{DIGITS}accumulation = 5\n"), "");
    alone(home, "config.toml", "one");
    let args = ["train", "--config", "config.toml", "--out", "three"];
    World::start(home, 3, &args, |_, _| {}).must_succeed();
    let (one, three) = (metric(&home.join("one"), "train_loss"), metric(&home.join("three"), "train_loss"));
    let largest = one.iter().zip(&three).map(|(a, b)| ((a - b) / a).abs()).fold(0.0, f64::max);
    assert!(largest <= 1e-5, "{largest:e}\n{one:?}\n{three:?}");
}

/// The gradients of a frozen host are summed before they are measured, so gate G2 sees the numbers of one
/// rank.
#[test]
fn the_gradient_ratio_on_a_frozen_host_is_that_of_one_rank() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    write(home, "base.toml", &DIGITS.replace("epochs = 20", "epochs = 2"), "");
    alone(home, "base.toml", "base");
    let germination = "{\"epoch\":1,\"command\":\"germinate\",\"slot\":\"early\",\"seed_id\":\"a\",\
                       \"blueprint\":\"conv_light\",\"blend\":\"linear\"}\n";
    std::fs::write(home.join("script.jsonl"), germination).unwrap();
    let text = "task = \"digits\"\nepochs = 4\ndevice = \"cpu\"\ncontroller = \"scripted\"\n\
                script = \"script.jsonl\"\ntelemetry_interval = 1\n";
    write(home, "config.toml", text, "");
    let ratios = [1, 2].map(|size| {
        let out = format!("ranks{size}");
        let args =
            ["train", "--config", "config.toml", "--init-from", "base", "--freeze-host", "--out", &out];
        if size == 1 {
            let mut one = command(home);
            one.args(args);
            let (_, error, code) = kasmina_tests::output(one);
            assert_eq!(code, Some(0), "{error}");
        } else {
            World::start(home, size, &args, |_, _| {}).must_succeed();
        }
        let rows = kasmina_tests::runs::lines(&home.join(out).join("metrics.jsonl"));
        rows.iter().filter_map(|row| row["slots"]["block0"]["gradient_ratio"].as_f64()).collect::<Vec<_>>()
    });
    assert!(!ratios[0].is_empty() && ratios[0].len() == ratios[1].len(), "{ratios:?}");
    for (one, two) in ratios[0].iter().zip(&ratios[1]) {
        assert!(((one - two) / one).abs() < 1e-2, "{ratios:?}");
    }
}

/// Each rank has its own batch statistics: the losses differ from those of one rank, but all ranks keep the
/// same weights, which every run compares after each epoch.
#[test]
fn local_statistics_are_another_network() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    write(home, "sync.toml", DIGITS, "");
    write(home, "local.toml", DIGITS, "batch_norm = \"local\"");
    for name in ["sync", "local"] {
        let config = format!("{name}.toml");
        World::start(home, 2, &["train", "--config", &config, "--out", name], |_, _| {}).must_succeed();
    }
    let (sync, local) = (metric(&home.join("sync"), "train_loss"), metric(&home.join("local"), "train_loss"));
    let difference = (sync[19] - local[19]).abs() / sync[19];
    assert!(difference > 1e-6 && difference < 0.2, "{difference:e}");
}

/// Where no layer couples samples, ordered sums over ranks are the same bits as accumulation over as many
/// parts.
#[test]
fn deterministic_ranks_equal_accumulation_on_one_rank() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    for size in [2, 4] {
        write(home, "ranks.toml", ADDITION, "deterministic = true");
        write(home, "parts.toml", &format!("{ADDITION}accumulation = {size}\n"), "");
        let (parts, once, again) = (format!("parts{size}"), format!("once{size}"), format!("again{size}"));
        alone(home, "parts.toml", &parts);
        for out in [&once, &again] {
            World::start(home, size, &["train", "--config", "ranks.toml", "--out", out], |_, _| {})
                .must_succeed();
        }
        assert!(weights(&home.join(&once)) == weights(&home.join(&again)), "{size} ranks repeat themselves");
        assert!(weights(&home.join(&once)) == weights(&home.join(&parts)), "{size} ranks, {size} parts");
    }
}

#[test]
fn compressed_gradients_train_too() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    write(home, "full.toml", ADDITION, "");
    write(home, "half.toml", ADDITION, "compression = \"bf16\"\nfirst_bucket_mib = 0.01\nbucket_mib = 0.05");
    for name in ["full", "half"] {
        let config = format!("{name}.toml");
        World::start(home, 2, &["train", "--config", &config, "--out", name], |_, _| {}).must_succeed();
    }
    let (full, half) = (metric(&home.join("full"), "train_loss"), metric(&home.join("half"), "train_loss"));
    let difference = (full[2] - half[2]).abs() / full[2];
    assert!(difference > 0.0 && difference < 0.02, "{difference:e}");
}
