//! NaN in evaluations, of a seed and of the host; and batches of one sample, whose batch statistics would be
//! NaN.

use kasmina_tests::{fixture, kasmina, output, runs};
use serde_json::Value;
use std::path::Path;

/// Trains in a process of its own; returns standard output, standard error and the exit code. `settings` come
/// before the table `[data]`, `data` is in it, `tables` come after it.
fn train(
    home: &Path,
    out: &str,
    [settings, data, tables]: [&str; 3],
    args: &[&str],
) -> (String, String, Option<i32>) {
    let text = format!(
        "task = \"digits\"\ndevice = \"cpu\"\n{settings}\n[data]\nvalidation_samples = 100\n{data}\n{tables}"
    );
    std::fs::write(home.join("config.toml"), text).unwrap();
    let mut command = kasmina(home);
    command
        .args(["train", "--config", "config.toml", "--out", out, "--plugin-path"])
        .arg(fixture("nonfinite"));
    command.args(args);
    output(command)
}

#[test]
fn a_last_single_sample_joins_the_batch_before() {
    let home = tempfile::tempdir().unwrap();
    // One sample more than a batch of 64; a batch of its own would have undefined batch statistics.
    let settings =
        ["epochs = 3\ncontroller = \"none\"", "train_samples = 65", "[host.config]\npool_layers = 3\n"];
    let (out, error, code) = train(home.path(), "run", settings, &["--json"]);
    assert_eq!(code, Some(0), "{error}");
    let summary: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(summary["steps"], 3, "one batch of 65 in each epoch");
    let rows = runs::lines(&home.path().join("run/metrics.jsonl"));
    assert!(rows.iter().all(|row| row["val_loss"].is_f64()), "{rows:?}");
}

#[test]
fn a_seed_that_is_nan_in_the_evaluation_is_unhealthy_and_removed() {
    let home = tempfile::tempdir().unwrap();
    let script = "{\"epoch\":1,\"command\":\"germinate\",\"slot\":\"mid\",\"seed_id\":\"one\",\
                  \"blueprint\":\"nan_when_measured\",\"blend\":\"linear\",\"tempo\":1}\n";
    std::fs::write(home.path().join("script.jsonl"), script).unwrap();
    let tables = "[lifecycle]\npermissive = true\nauto_advance = [\"G1\", \"G2\"]\n\
                  [growth]\nmax_unhealthy_epochs = 2\n";
    let settings = "epochs = 9\ncontroller = \"scripted\"\nscript = \"script.jsonl\"";
    let (_, error, code) = train(home.path(), "run", [settings, "train_samples = 640", tables], &[]);
    assert_eq!(code, Some(0), "{error}");
    let events = runs::lines(&home.path().join("run/events.jsonl"));
    let unhealthy = events.iter().find(|e| e["event"] == "SEED_HEALTH").expect("the seed is unhealthy");
    let pruned = events.iter().find(|e| e["event"] == "SEED_PRUNED").expect("the seed is pruned");
    assert_eq!((&unhealthy["healthy"], &pruned["reason"]), (&false.into(), &"unhealthy".into()));
    let epochs = |event: &Value| event["epoch"].as_u64().unwrap();
    assert_eq!(epochs(pruned), epochs(unhealthy) + 1, "after two epochs in a row");
    let rows = runs::lines(&home.path().join("run/metrics.jsonl"));
    assert!(rows.last().unwrap()["val_loss"].is_f64(), "without the seed the loss is finite");
    assert_eq!(rows.len(), 9);
    // Journals with NaN can be read.
    let mut explain = kasmina(home.path());
    explain.args(["explain", "run"]);
    let (_, error, code) = output(explain);
    assert_eq!(code, Some(0), "{error}");
}

#[test]
fn a_host_that_is_nan_once_is_rolled_back_once_and_ends_like_an_undisturbed_run() {
    let home = tempfile::tempdir().unwrap();
    let run = |out: &str, times: u32, args: &[&str]| {
        // Few of many checkpoints are kept, and all but one are from within the epoch with NaN.
        let tables = format!(
            "[checkpoint]\nevery_steps = 1\nkeep = 2\nkeep_best = false\n[host]\nid = \"glitch\"\n[host.config]\nafter = 12\ntimes = {times}\n"
        );
        let settings = ["epochs = 5\nslots = []\ncontroller = \"none\"", "train_samples = 320", &tables];
        let (_, error, code) = train(home.path(), out, settings, args);
        (error, code)
    };
    let (error, code) = run("sound", 0, &[]);
    assert_eq!(code, Some(0), "{error}");
    let (error, code) = run("glitch", 1, &[]);
    assert_eq!(code, Some(0), "{error}");
    assert!(error.contains("the run goes back to"), "{error}");
    let rows = |run: &str| runs::bits(&home.path().join(run));
    assert_eq!(rows("sound"), rows("glitch"));
    let (error, code) = run("again", 100, &[]);
    assert_eq!(code, Some(1));
    assert!(error.contains("again after going back to a checkpoint"), "{error}");
    let (error, code) = run("stop", 1, &["--on-nonfinite", "stop"]);
    assert_eq!(code, Some(1));
    assert!(error.contains("no seed is the cause") && !error.contains("goes back"), "{error}");
}
