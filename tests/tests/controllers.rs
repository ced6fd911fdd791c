//! `kasmina train` with each controller: runs grow seeds, are reproducible, and can be switched off and
//! stopped.

use kasmina_registry::Entry;
use kasmina_tests::runs::{bits, lines};
use kasmina_tests::{SHIPPED, built, fixture, kasmina, output, registry, shipped};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};

fn json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn train(dir: &Path, out: &str, args: &[&str], env: &[(&str, &str)]) -> Value {
    let mut command = kasmina(dir);
    command.args(["train", "--device", "cpu", "--out", out, "--json"]).args(args).envs(env.iter().copied());
    let (stdout, stderr, code) = output(command);
    assert_eq!(code, Some(0), "{stderr}");
    let summary: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(summary, json(&dir.join(out).join("summary.json")));
    summary
}

#[test]
fn the_default_run_fossilizes_through_every_gate_and_is_reproducible() {
    let dir = tempfile::tempdir().unwrap();
    let summary = train(dir.path(), "a", &["--seed", "3"], &[]);
    assert!(summary["fossilized"].as_u64().unwrap() >= 1, "{summary}");
    assert!(summary["total_params"].as_u64() > summary["host_params"].as_u64());
    assert!(summary["final_val_accuracy"].as_f64().unwrap() > 90.0);
    let names: Vec<&str> =
        summary["plugins"].as_array().unwrap().iter().map(|p| p["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["kasmina_blends", "kasmina_blueprints_cnn", "kasmina_hosts"]);
    for plugin in summary["plugins"].as_array().unwrap() {
        assert_eq!(plugin["sha256"].as_str().unwrap().len(), 64);
        assert!(Path::new(plugin["path"].as_str().unwrap()).is_absolute());
    }

    // The gates had the default thresholds, and every fossilized seed passed all of them.
    let text = std::fs::read_to_string(dir.path().join("a/config.toml")).unwrap();
    let config: toml::Table = text.parse().unwrap();
    let gates = &config["lifecycle"]["gates"];
    assert_eq!(gates["min_training_improvement"].as_float(), Some(0.5));
    assert_eq!(gates["min_seed_gradient_ratio"].as_float(), Some(0.05));
    assert_eq!(gates["min_contribution"].as_float(), Some(1.0));
    assert_eq!(gates["min_holding_stability"].as_float(), Some(0.95));
    let events = lines(&dir.path().join("a/events.jsonl"));
    for fossil in events.iter().filter(|e| e["event"] == "SEED_FOSSILIZED") {
        let passed: Vec<&str> = events
            .iter()
            .filter(|e| {
                e["seed_id"] == fossil["seed_id"]
                    && e["event"] == "SEED_GATE_EVALUATED"
                    && e["passed"] == true
            })
            .map(|e| e["gate"].as_str().unwrap())
            .collect();
        assert_eq!(passed, ["G1", "G2", "G3", "G5"], "{fossil}");
        assert!(fossil["counterfactual"].as_f64().unwrap() >= 1.0);
    }

    // The configuration that the run wrote reproduces it.
    train(dir.path(), "b", &["--config", "a/config.toml"], &[]);
    assert_eq!(bits(&dir.path().join("a")), bits(&dir.path().join("b")));
    let other = train(dir.path(), "c", &["--seed", "4", "--epochs", "3"], &[]);
    assert_ne!(
        lines(&dir.path().join("a/metrics.jsonl"))[0]["train_loss"],
        lines(&dir.path().join("c/metrics.jsonl"))[0]["train_loss"],
        "{other}"
    );
}

/// At alpha 0 a seed's learning rate is scaled by `incubation_rate`, here 0 or 1. The host's loss is the same
/// in both runs until alpha rises.
#[test]
fn a_seed_at_alpha_0_learns_at_the_incubation_rate() {
    let dir = tempfile::tempdir().unwrap();
    let run = |rate: &str| {
        let config = format!("epochs = 30\n[optimizer]\nincubation_rate = {rate}\n");
        std::fs::write(dir.path().join("rate.toml"), config).unwrap();
        let summary = train(dir.path(), rate, &["--config", "rate.toml", "--seed", "3"], &[]);
        (summary, lines(&dir.path().join(rate).join("metrics.jsonl")))
    };
    let ((still, at_rest), (_, free)) = (run("0.0"), run("1.0"));
    let has_alpha = |row: &Value| {
        row["slots"].as_object().unwrap().values().any(|slot| slot["alpha"].as_f64().unwrap() > 0.0)
    };
    // The row of an epoch contains the alpha that was set at its end, for the next epoch.
    let first = 1 + at_rest.iter().position(has_alpha).unwrap();
    let losses =
        |rows: &[Value]| rows.iter().map(|row| row["train_loss"].as_f64().unwrap()).collect::<Vec<_>>();
    assert_eq!(losses(&at_rest[..first]), losses(&free[..first]));
    assert_ne!(losses(&at_rest[first..]), losses(&free[first..]));
    assert!(still["fossilized"].as_u64().unwrap() >= 1, "it learns once alpha is above 0: {still}");
}

#[test]
fn disabled_seeds_give_the_bits_of_a_run_without_slots() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("off.toml"), "disable_seeds = true\n").unwrap();
    let short = ["--epochs", "8", "--seed", "2"];
    train(dir.path(), "flag", &[&short[..], &["--no-seeds"]].concat(), &[]);
    train(dir.path(), "env", &short, &[("KASMINA_DISABLE_SEEDS", "1")]);
    train(dir.path(), "file", &[&short[..], &["--config", "off.toml"]].concat(), &[]);
    // A run whose slots stay empty has the same losses.
    train(dir.path(), "empty", &[&short[..], &["--max-seeds", "0"]].concat(), &[]);
    let flag = bits(&dir.path().join("flag"));
    for other in ["env", "file"] {
        assert_eq!(flag, bits(&dir.path().join(other)), "{other}");
    }
    let losses = |run: &str| -> Vec<Value> {
        lines(&dir.path().join(run).join("metrics.jsonl"))
            .into_iter()
            .map(|l| l["train_loss"].clone())
            .collect()
    };
    assert_eq!(losses("flag"), losses("empty"));
    let measured = |run: &str| -> Vec<(Value, Value)> {
        let lines = lines(&dir.path().join(run).join("metrics.jsonl"));
        lines.into_iter().map(|l| (l["val_loss"].clone(), l["val_accuracy"].clone())).collect()
    };
    assert_eq!(measured("flag"), measured("empty"));
    assert!(flag.iter().all(|l| l["slots"] == serde_json::json!({})));
}

/// With `max_epochs` a seed has to stay longer in TRAINING; it must not be pruned before it can pass G2.
#[test]
fn a_long_run_leaves_seeds_the_time_that_g2_requires() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("long.toml"), "[lifecycle]\nmax_epochs = 200\n").unwrap();
    let summary =
        train(dir.path(), "long", &["--config", "long.toml", "--epochs", "45", "--slots", "early"], &[]);
    let reasons: Vec<&Value> = summary["seeds"].as_array().unwrap().iter().map(|s| &s["reason"]).collect();
    assert!(!reasons.contains(&&Value::from("max_training_epochs")), "{summary}");
    let events = lines(&dir.path().join("long/events.jsonl"));
    assert!(events.iter().any(|e| e["gate"] == "G2" && e["passed"] == true));
}

/// A blueprint named by its bare id or by its full name is the same seed with the same weights.
#[test]
fn a_full_name_gives_the_same_run() {
    let dir = tempfile::tempdir().unwrap();
    let losses = |out: &str, blueprint: &str| -> Vec<Value> {
        train(dir.path(), out, &["--epochs", "16", "--blueprint", blueprint], &[]);
        lines(&dir.path().join(out).join("metrics.jsonl"))
            .into_iter()
            .map(|l| l["train_loss"].clone())
            .collect()
    };
    assert_eq!(losses("bare", "conv_light"), losses("full", "kasmina_blueprints_cnn::conv_light"));
}

#[test]
fn a_closed_output_pipe_is_no_failure() {
    let dir = tempfile::tempdir().unwrap();
    for args in [&["plugins", "list"][..], &["train", "--device", "cpu", "--epochs", "2", "--out", "out"]] {
        let mut child =
            kasmina(dir.path()).args(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop((child.stdout.take(), child.stderr.take()));
        assert!(child.wait().unwrap().success(), "{args:?}");
    }
    assert_eq!(json(&dir.path().join("out/summary.json"))["status"], "completed");
}

#[test]
fn two_threads_give_the_same_bits_twice() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("two.toml"), "threads = 2\n[growth]\nfirst_epoch = 1\n").unwrap();
    for out in ["a", "b"] {
        train(dir.path(), out, &["--config", "two.toml", "--epochs", "6"], &[]);
    }
    assert_eq!(bits(&dir.path().join("a")), bits(&dir.path().join("b")));
}

#[test]
fn plugins_beside_the_executable_are_found_from_anywhere() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("bin");
    std::fs::create_dir_all(home.join("plugins")).unwrap();
    std::fs::copy(built().join("kasmina"), home.join("kasmina")).unwrap();
    for plugin in SHIPPED {
        std::fs::copy(shipped(plugin), home.join("plugins").join(format!("{plugin}.so"))).unwrap();
    }
    let mut list = Command::new(home.join("kasmina"));
    list.args(["plugins", "list", "--json"]).env_clear().current_dir("/");
    let (stdout, stderr, code) = output(list);
    assert_eq!(code, Some(0), "{stderr}");
    let listing: Value = serde_json::from_str(&stdout).unwrap();
    let ids: Vec<&str> =
        listing["entries"].as_array().unwrap().iter().map(|e| e["id"].as_str().unwrap()).collect();
    let registry = registry(&[]).entries();
    let expected: Vec<&str> = registry.iter().map(Entry::id).collect();
    assert_eq!(ids, expected);
}

#[test]
fn every_shipped_blueprint_blend_and_controller_runs() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("fast.toml"), "[growth]\nfirst_epoch = 1\nevery = 1\n").unwrap();
    for (i, (blueprint, blend, controller)) in [
        ("norm", "sigmoid", "periodic"),
        ("attention", "core::linear", "heuristic"),
        ("noop", "kasmina_blends::linear", "periodic"),
        ("conv_small", "core::linear", "periodic"),
        ("conv_heavy", "core::linear", "periodic"),
        ("depthwise", "sigmoid", "periodic"),
        ("bottleneck", "sigmoid", "heuristic"),
    ]
    .iter()
    .enumerate()
    {
        let out = format!("run{i}");
        let args = ["--config", "fast.toml", "--blueprint", blueprint, "--blend-algorithm", blend];
        let more = ["--controller", controller, "--epochs", "14", "--slots", "early", "late"];
        train(dir.path(), &out, &[&args[..], &more[..]].concat(), &[]);
        let metrics = lines(&dir.path().join(&out).join("metrics.jsonl"));
        assert_eq!(metrics.len(), 14);
        let slots: Vec<&String> = metrics[0]["slots"].as_object().unwrap().keys().collect();
        assert_eq!(slots, ["block0", "block2"]);
    }
    let noop = json(&dir.path().join("run2/summary.json"));
    assert_eq!((&noop["fossilized"], &noop["total_params"]), (&0.into(), &noop["host_params"]));
    let events = lines(&dir.path().join("run2/events.jsonl"));
    assert!(events.iter().any(|e| e["event"] == "SEED_GERMINATED"));
    assert!(
        !events
            .iter()
            .any(|e| e["event"] == "SEED_GATE_EVALUATED" && e["gate"] == "G2" && e["passed"] == true)
    );
}

/// Starts a very long run and waits until it has finished this many epochs. Returns it with the rest of its
/// standard error.
fn running(dir: &Path, more: &[&str], epochs: u32) -> (Child, BufReader<ChildStderr>) {
    let mut child = kasmina(dir)
        .args(["train", "--device", "cpu", "--epochs", "100000", "--out", "out"])
        .args(more)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains(&format!("epoch {epochs:>3}/")) {
        line.clear();
        assert!(stderr.read_line(&mut line).unwrap() > 0, "the run ended by itself");
    }
    (child, stderr)
}

/// Also with a seed that returns an error once `cancelled()` is true.
#[test]
fn ctrl_c_ends_a_run_cleanly() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("first.toml"), "[growth]\nfirst_epoch = 1\n").unwrap();
    let ill = fixture("ill_seeds").to_string_lossy().into_owned();
    let args = ["--config", "first.toml", "--blueprint", "honours_cancel", "--plugin-path", &ill];
    let (child, mut stderr) = running(dir.path(), &args, 3);
    let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    std::io::copy(&mut stderr, &mut std::io::sink()).unwrap();
    let out = child.wait_with_output().unwrap();
    assert_eq!(out.status.code(), Some(130));
    assert!(String::from_utf8_lossy(&out.stdout).contains("(interrupted)"));
    let summary = json(&dir.path().join("out/summary.json"));
    let metrics = lines(&dir.path().join("out/metrics.jsonl"));
    assert_eq!(summary["status"], "interrupted");
    assert_eq!(summary["epochs"], metrics.len());
}

#[test]
fn a_kill_leaves_only_complete_lines() {
    let dir = tempfile::tempdir().unwrap();
    let (mut child, _stderr) = running(dir.path(), &[], 7);
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(lines(&dir.path().join("out/metrics.jsonl")).len() >= 7);
    lines(&dir.path().join("out/events.jsonl"));
    lines(&dir.path().join("out/commands.jsonl"));
    assert!(!dir.path().join("out/summary.json").exists());
}

/// It observes every slot as features, and its commands are executed.
#[test]
fn a_custom_controller_observes_slots_and_its_commands_are_executed() {
    use kasmina::Command;
    use kasmina::model::Germinate;
    use kasmina_trainer::controller::{Controller, Observation};
    use kasmina_trainer::signals::FEATURES;
    use kasmina_trainer::{RunConfig, Trainer};
    use std::sync::atomic::AtomicBool;
    use std::sync::{Arc, Mutex};

    struct CustomController(Arc<Mutex<Vec<[f64; FEATURES.len()]>>>);
    impl Controller for CustomController {
        fn id(&self) -> &'static str {
            "mine"
        }
        fn rehearsals(&self, slots: &[String]) -> Vec<Germinate> {
            slots.iter().map(|slot| Germinate::new(slot, "rehearsal", "norm", "linear")).collect()
        }
        fn decide(&mut self, observation: &Observation<'_>) -> Vec<Command> {
            self.0.lock().unwrap().extend(observation.features());
            let first = observation.epoch == 1;
            let germinate = || Command::Germinate(Germinate::new("mid", "s1", "norm", "linear"));
            if first { vec![germinate()] } else { Vec::new() }
        }
    }
    let seen = Arc::new(Mutex::new(Vec::new()));
    let config =
        RunConfig { epochs: 3, slots: vec!["mid".into()], device: "cpu".into(), ..RunConfig::default() };
    let registry = kasmina_tests::registry(&[]);
    let mine = Box::new(CustomController(Arc::clone(&seen)));
    let trainer = Trainer::prepare_with(config, &registry, mine).unwrap();
    let summary = trainer.run(None, &mut (), &AtomicBool::new(false)).unwrap();
    assert_eq!((summary.controller.as_str(), summary.germinated), ("mine", 1));
    let seen = seen.lock().unwrap();
    let stage = |row: &[f64; FEATURES.len()]| FEATURES[row.iter().position(|v| *v == 1.0).unwrap()];
    assert_eq!(seen.iter().map(stage).collect::<Vec<_>>(), ["DORMANT", "TRAINING", "BLENDING"]);
}
