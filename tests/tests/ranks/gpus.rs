//! Ranks on GPUs, by NCCL. With fewer than two GPUs, each test prints that it is skipped and passes.

use kasmina_tests::say;
use kasmina_tests::world::{World, command, metric, summary, weights};
use std::path::Path;

/// Whether there are two GPUs.
fn two_gpus(test: &str) -> bool {
    let gpus = if kasmina_torch_ext::cuda::open().is_ok() { kasmina_trainer::device::gpus() } else { 0 };
    if gpus < 2 {
        say(&format!("SKIPPED {test}: there are {gpus} GPUs"));
    }
    gpus >= 2
}

fn train(home: &Path, size: usize, config: &str, out: &str) {
    std::fs::write(home.join("config.toml"), config).unwrap();
    let args = ["train", "--config", "config.toml", "--out", out];
    if size > 1 {
        return World::start(home, size, &args, |_, _| {}).must_succeed();
    }
    let mut one = command(home);
    one.args(args);
    let (_, error, code) = kasmina_tests::output(one);
    assert_eq!(code, Some(0), "{error}");
}

/// Twenty steps, each an epoch of its own, with the statistics of both GPUs in every batch norm.
#[test]
fn two_gpus_compute_what_one_computes() {
    if !two_gpus("two_gpus_compute_what_one_computes") {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let config = "task = \"digits\"\nepochs = 20\ndisable_seeds = true\ndevice = \"cuda\"\n\
                  [optimizer]\nbatch_size = 1437\n[compute]\nconvolutions = \"deterministic\"\n";
    let losses = [1, 2].map(|size| {
        let out = format!("ranks{size}");
        train(home.path(), size, config, &out);
        metric(&home.path().join(out), "train_loss")
    });
    let largest = losses[0].iter().zip(&losses[1]).map(|(a, b)| ((a - b) / a).abs()).fold(0.0, f64::max);
    assert!(largest <= 1e-4, "{largest:e}\n{losses:?}");
    say(&format!("two GPUs differ from one by {largest:.1e} at most in 20 steps"));
}

/// Seeds germinate, learn, blend in, are fossilized and pruned in captured steps. The ranks compare their
/// weights bit for bit after each epoch, and the run repeats itself.
#[test]
fn a_lifecycle_on_two_gpus_repeats_itself() {
    if !two_gpus("a_lifecycle_on_two_gpus_repeats_itself") {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let config = "task = \"digits\"\nepochs = 40\ndevice = \"cuda\"\n[compute]\nconvolutions = \"deterministic\"\n\
                  [ranks]\ndeterministic = true\n";
    for out in ["once", "again"] {
        train(home.path(), 2, config, out);
        let found = summary(&home.path().join(out));
        assert_eq!(found["status"], "completed");
        assert!(found["fossilized"].as_u64().unwrap() > 0, "{found:#}");
    }
    assert!(weights(&home.path().join("once")) == weights(&home.path().join("again")));
}

/// A run on one GPU is resumed on two, and that on one again.
#[test]
fn a_run_is_resumed_on_another_number_of_gpus() {
    if !two_gpus("a_run_is_resumed_on_another_number_of_gpus") {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    train(home.path(), 1, "task = \"digits\"\nepochs = 2\ndevice = \"cuda\"\n", "run");
    let resumed = ["train", "--resume", "run", "--epochs"];
    World::start(home.path(), 2, &[&resumed[..], &["4"]].concat(), |_, _| {}).must_succeed();
    World::start(home.path(), 1, &[&resumed[..], &["6"]].concat(), |_, _| {}).must_succeed();
    assert_eq!(metric(&home.path().join("run"), "train_loss").len(), 6);
}
