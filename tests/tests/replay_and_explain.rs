//! Reading runs back: `replay`, `explain`, and reproducing a run from its journal.

use kasmina_tests::runs::{bits, lines};
use kasmina_tests::{kasmina, output};
use serde_json::Value;
use std::fs;
use std::path::Path;

fn run(dir: &Path, args: &[&str]) -> (String, String, Option<i32>) {
    let mut command = kasmina(dir);
    command.args(args);
    output(command)
}

fn train(dir: &Path, out: &str, args: &[&str]) {
    let mut all = vec!["train", "--device", "cpu", "--out", out];
    all.extend(args);
    let (_, stderr, code) = run(dir, &all);
    assert_eq!(code, Some(0), "{stderr}");
}

/// A default run, replayed with its own and with other gates, and explained.
#[test]
fn a_run_is_replayed_and_explained() {
    let dir = tempfile::tempdir().unwrap();
    train(dir.path(), "r", &["--seed", "1"]);
    let (own, _, code) = run(dir.path(), &["replay", "r"]);
    assert_eq!(code, Some(0));
    assert_eq!(own.matches("decisions come out as recorded").count(), 3, "{own}");
    assert!(!own.contains("until epoch"), "{own}");

    fs::write(dir.path().join("gates.toml"), "min_training_improvement = 30.0\nmin_contribution = 40.0\n")
        .unwrap();
    let (other, stderr, code) = run(dir.path(), &["replay", "r", "--gates", "gates.toml"]);
    assert_eq!(code, Some(0), "{stderr}");
    assert!(other.contains("G2 failed: global_improvement_insufficient"), "{other}");
    assert!(other.contains("30.00 are required") && other.contains("help:"), "{other}");
    let (json, ..) = run(dir.path(), &["replay", "r", "--gates", "gates.toml", "--json"]);
    let json: Value = serde_json::from_str(&json).unwrap();
    let changed = json["slots"].as_array().unwrap().iter().find(|s| !s["divergence"].is_null()).unwrap();
    assert_eq!(changed["divergence"]["findings"][0]["check"], "global_improvement_insufficient");

    let (all, ..) = run(dir.path(), &["explain", "r"]);
    for slot in ["block0 (early): ", "block1 (mid): ", "block2 (late): "] {
        assert!(all.contains(slot), "{all}");
    }
    assert!(all.contains("part of the network permanently"), "{all}");
    let (by_name, ..) = run(dir.path(), &["explain", "r", "block1"]);
    let (by_alias, ..) = run(dir.path(), &["explain", "r", "mid"]);
    assert!(!by_name.is_empty() && by_name == by_alias && all.contains(by_name.trim()));
    let (_, stderr, code) = run(dir.path(), &["explain", "r", "attic"]);
    assert!(
        code == Some(1) && stderr.contains("no slot `attic`; there are block0, block1, block2"),
        "{stderr}"
    );
}

/// The text names the failing check, its numbers and the remedy.
#[test]
fn a_stuck_seed_is_explained() {
    let dir = tempfile::tempdir().unwrap();
    train(dir.path(), "noop", &["--blueprint", "noop", "--epochs", "16", "--slots", "mid"]);
    let (text, ..) = run(dir.path(), &["explain", "noop", "mid"]);
    insta::with_settings!({filters => vec![(r"\d+\.\d+ points", "N points"), (r"epoch \d+", "epoch N"), (r"\d+ epochs", "N epochs")]}, {
        insta::assert_snapshot!(text);
    });
}

/// `replay` and `explain` report an altered record; an incomplete last line is skipped, other damage is an
/// error.
#[test]
fn a_record_that_contradicts_itself_is_reported() {
    let dir = tempfile::tempdir().unwrap();
    train(dir.path(), "r", &["--epochs", "14", "--slots", "early"]);
    let path = dir.path().join("r/events.jsonl");
    let text = fs::read_to_string(&path).unwrap();
    let altered = text.replacen("\"to\":\"BLENDING\"", "\"to\":\"HOLDING\"", 1);
    assert_ne!(text, altered);
    fs::write(&path, altered).unwrap();
    let (stdout, _, code) = run(dir.path(), &["replay", "r"]);
    assert_eq!(code, Some(1), "{stdout}");
    assert!(
        stdout.contains("recorded  TRAINING -> HOLDING") && stdout.contains("now       TRAINING -> BLENDING"),
        "{stdout}"
    );
    let (stdout, ..) = run(dir.path(), &["explain", "r"]);
    assert!(stdout.contains("The record contradicts itself"), "{stdout}");

    // An incomplete last line, as a kill leaves it, is skipped; a damaged line before it is an error.
    train(dir.path(), "k", &["--epochs", "6", "--slots", "early"]);
    let path = dir.path().join("k/metrics.jsonl");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, &text[..text.len() - 40]).unwrap();
    let (stdout, _, code) = run(dir.path(), &["replay", "k"]);
    assert!(code == Some(0) && stdout.starts_with("5 epochs replayed"), "{stdout}");
    // Also one that ends inside a character.
    let mut bytes = text.clone().into_bytes();
    bytes.extend("{\"reason\":\"zu gro\u{df}".bytes().collect::<Vec<_>>().split_last().unwrap().1);
    fs::write(&path, bytes).unwrap();
    let (stdout, _, code) = run(dir.path(), &["replay", "k"]);
    assert!(code == Some(0) && stdout.starts_with("6 epochs replayed"), "{stdout}");
    fs::write(&path, text.replacen("\"epoch\":3", "\"epoch\":}", 1)).unwrap();
    let (_, stderr, code) = run(dir.path(), &["explain", "k"]);
    assert!(code == Some(1) && stderr.contains("metrics.jsonl: line 3:"), "{stderr}");
    let (_, stderr, code) = run(dir.path(), &["replay", "nowhere"]);
    assert!(code == Some(1) && stderr.contains("config.toml"), "{stderr}");
}

/// Missing or repeated lines are an error; a run without a summary is reported as unfinished.
#[test]
fn an_incomplete_record_is_refused_or_reported() {
    let dir = tempfile::tempdir().unwrap();
    train(dir.path(), "r", &["--epochs", "14", "--slots", "early"]);
    let path = dir.path().join("r/metrics.jsonl");
    let text = fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let refused = |lines: &[&str], reason: &str| {
        fs::write(&path, lines.join("\n") + "\n").unwrap();
        for verb in ["explain", "replay"] {
            let (stdout, stderr, code) = run(dir.path(), &[verb, "r"]);
            assert_eq!((stdout.as_str(), code), ("", Some(1)));
            assert!(stderr.contains(reason), "{stderr}");
        }
    };
    refused(&lines[..5], "it ends at epoch 5, but events and commands reach epoch 1");
    let doubled: Vec<&str> = lines[..3].iter().chain(&lines[2..]).copied().collect();
    refused(&doubled, "line 4 is epoch 3; epoch 4 was expected");
    fs::write(&path, &text).unwrap();
    fs::remove_file(dir.path().join("r/summary.json")).unwrap();
    for verb in ["explain", "replay"] {
        let (stdout, ..) = run(dir.path(), &[verb, "r"]);
        assert!(stdout.contains("The run has no summary: it is still running, or was killed"), "{stdout}");
    }
    let (_, stderr, code) = run(dir.path(), &["explain", "."]);
    assert!(code == Some(1) && stderr.contains("this is not a run directory"), "{stderr}");
    // A file of thresholds may be a whole configuration; thresholds that it lacks are the run's own.
    let (stdout, stderr, code) = run(dir.path(), &["replay", "r", "--gates", "r/config.toml"]);
    assert!(code == Some(0) && stdout.contains("come out as recorded"), "{stdout}{stderr}");
    fs::write(dir.path().join("g.toml"), "[lifecycle.gates]\nmin_luck = 1\n").unwrap();
    let (_, stderr, code) = run(dir.path(), &["replay", "r", "--gates", "g.toml"]);
    assert!(code == Some(1) && stderr.contains("min_luck") && stderr.contains("schema gates"), "{stderr}");
}

/// The same seed id in two slots is two seeds, also in the summary. Also: `--no-seeds` overrides a script.
#[test]
fn the_same_seed_id_in_two_slots_is_two_seeds() {
    let dir = tempfile::tempdir().unwrap();
    let script = [
        r#"{"epoch":1,"command":"germinate","slot":"early","seed_id":"a","blueprint":"norm","blend":"linear"}"#,
        r#"{"epoch":1,"command":"germinate","slot":"mid","seed_id":"a","blueprint":"norm","blend":"linear"}"#,
        r#"{"epoch":3,"command":"prune","slot":"early","reason":"x"}"#,
    ];
    fs::write(dir.path().join("s.jsonl"), script.join("\n") + "\n").unwrap();
    train(dir.path(), "r", &["--script", "s.jsonl", "--epochs", "4"]);
    let summary: Value =
        serde_json::from_slice(&fs::read(dir.path().join("r/summary.json")).unwrap()).unwrap();
    let fates: Vec<(&str, &str)> = summary["seeds"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| (s["slot"].as_str().unwrap(), s["fate"].as_str().unwrap()))
        .collect();
    assert_eq!(fates[0], ("block0", "pruned"));
    assert!(fates[1].0 == "block1" && fates[1].1 != "pruned", "{fates:?}");
    train(dir.path(), "n", &["--script", "s.jsonl", "--epochs", "4", "--no-seeds"]);
    assert_eq!(fs::read_to_string(dir.path().join("n/commands.jsonl")).unwrap(), "");
    assert_eq!(fs::read_to_string(dir.path().join("n/events.jsonl")).unwrap(), "");
    // A script may also be named by its run directory.
    train(dir.path(), "d", &["--script", "r", "--epochs", "4"]);
    assert_eq!(bits(&dir.path().join("r")), bits(&dir.path().join("d")));

    let bad = |line: &str, reason: &str| {
        fs::write(dir.path().join("bad.jsonl"), format!("{}\n{line}\n", script[0])).unwrap();
        let (_, stderr, code) = run(dir.path(), &["train", "--script", "bad.jsonl", "--epochs", "2"]);
        assert!(code == Some(1) && stderr.contains("bad.jsonl: ") && stderr.contains(reason), "{stderr}");
        assert!(stderr.contains("schema commands"), "{stderr}");
    };
    bad(&script[1].replace("\"blend\"", "\"prefech\":true,\"blend\""), "line 2: unknown field `prefech`");
    bad(&script[2].replace("reason", "raison"), "line 2: unknown field `raison`");
    bad(&script[2].replace("\"epoch\":3", "\"epoch\":0"), "epoch 0");
    bad(&script[2].replace(",\"reason\":\"x\"", ""), "line 2: missing field `reason`");
}

/// The journal of commands reproduces its run bit for bit, with refusals, retargets, prunes and prefetched
/// germinations.
#[test]
fn a_journal_reproduces_its_run() {
    let dir = tempfile::tempdir().unwrap();
    train(dir.path(), "a", &["--seed", "5", "--controller", "heuristic", "--epochs", "30"]);
    train(dir.path(), "b", &["--config", "a/config.toml", "--script", "a/commands.jsonl"]);
    assert_eq!(bits(&dir.path().join("a")), bits(&dir.path().join("b")));

    // A script by hand, with commands that no shipped controller requests.
    let script = [
        r#"{"epoch":2,"command":"germinate","slot":"early","seed_id":"s1","blueprint":"conv_light","blend":"sigmoid","tempo":6,"unit":"step","prefetch":true}"#,
        r#"{"epoch":3,"command":"germinate","slot":"late","seed_id":"s2","blueprint":"attention","blend":"linear","tempo":2}"#,
        r#"{"epoch":4,"command":"advance","slot":"early"}"#,
        r#"{"epoch":4,"command":"wait"}"#,
        r#"{"epoch":5,"command":"germinate","slot":"mid","seed_id":"s3","blueprint":"unheard_of","blend":"linear"}"#,
        r#"{"epoch":12,"command":"set_alpha_target","slot":"early","target":0.5,"steps":20}"#,
        r#"{"epoch":13,"command":"schedule_prune","slot":"late","steps":3,"reason":"by hand"}"#,
        r#"{"epoch":15,"command":"prune","slot":"attic","reason":"nobody"}"#,
        r#"{"epoch":15,"command":"prune","slot":"mid","reason":"nobody lives there"}"#,
    ];
    fs::write(dir.path().join("hand.jsonl"), script.join("\n") + "\n").unwrap();
    let config = "epochs = 18\nisolation_check_interval = 3\nfail_on_breach = true\n[lifecycle]\ncooldown_epochs = 1\ntrain_fraction = 0.05\n";
    fs::write(dir.path().join("hand.toml"), config).unwrap();
    train(dir.path(), "c", &["--config", "hand.toml", "--script", "hand.jsonl"]);
    train(dir.path(), "d", &["--config", "c/config.toml", "--script", "c/commands.jsonl"]);
    assert_eq!(bits(&dir.path().join("c")), bits(&dir.path().join("d")));
    let rows = lines(&dir.path().join("c/commands.jsonl"));
    let landed: Vec<&Value> = rows.iter().filter(|r| r["landed"] == true).collect();
    assert_eq!((landed.len(), &landed[0]["epoch"]), (1, &Value::from(3)));
    let refused: Vec<&str> = rows.iter().filter_map(|r| r["error"]["code"].as_str()).collect();
    assert!(refused.contains(&"plugin_unavailable") && refused.contains(&"unknown_slot"), "{refused:?}");
    // The record of such a run can be replayed and explained.
    let (stdout, _, code) = run(dir.path(), &["replay", "c"]);
    assert_eq!(code, Some(0), "{stdout}");
    let (explained, ..) = run(dir.path(), &["explain", "c", "mid"]);
    assert!(explained.contains("A germination was refused at epoch 5: plugin_unavailable"), "{explained}");

    // Contradictory or wrong scripts are refused.
    let both = ["train", "--script", "hand.jsonl", "--controller", "periodic"];
    let (_, stderr, code) = run(dir.path(), &both);
    assert!(code == Some(1) && stderr.contains("only the controller `scripted` reads a script"), "{stderr}");
    fs::write(dir.path().join("bad.jsonl"), "{\"epoch\":1,\"command\":\"dance\"}\n").unwrap();
    let (_, stderr, code) = run(dir.path(), &["train", "--script", "bad.jsonl", "--epochs", "2"]);
    assert!(code == Some(1) && stderr.contains("bad.jsonl: line 1: unknown variant `dance`"), "{stderr}");
    let (_, stderr, code) = run(dir.path(), &["train", "--controller", "scripted"]);
    assert!(code == Some(1) && stderr.contains("needs a script"), "{stderr}");
    let (_, stderr, code) = run(dir.path(), &["train", "--script", "none.jsonl"]);
    assert!(code == Some(1) && stderr.contains("none.jsonl"), "{stderr}");
}

/// `stage` and `alpha` of a row are those after the decisions at the end of the epoch; `contribution` was
/// measured before them, with the alpha of the previous row. The schema documents this.
#[test]
fn a_row_has_the_stage_after_and_the_contribution_before_the_decisions() {
    let dir = tempfile::tempdir().unwrap();
    train(dir.path(), "r", &["--seed", "1"]);
    let rows = lines(&dir.path().join("r/metrics.jsonl"));
    let events = lines(&dir.path().join("r/events.jsonl"));
    let (mut decided, mut measured) = (0, 0);
    for pair in rows.windows(2) {
        let (before, row) = (&pair[0], &pair[1]);
        for (slot, now) in row["slots"].as_object().unwrap() {
            let then = &before["slots"][slot];
            let mut of_slot =
                events.iter().filter(|e| e["epoch"] == row["epoch"] && e["slot_id"] == slot.as_str());
            let last = of_slot.rfind(|e| e["event"] != "COMMAND" && e["event"] != "SEED_GATE_EVALUATED");
            match last {
                Some(change) if change["event"] == "SEED_STAGE_CHANGED" => {
                    assert_eq!(now["stage"], change["to"], "{change}");
                    assert_ne!(now["stage"], then["stage"], "{change}");
                    decided += 1;
                }
                Some(_) => {}
                None => assert_eq!(now["stage"], then["stage"], "{slot} {row}"),
            }
            if now["contribution"].as_f64().is_some_and(|contribution| contribution != 0.0) {
                assert!(then["alpha"].as_f64().unwrap() > 0.0, "{slot} {before} {row}");
                measured += 1;
            }
        }
    }
    assert!(decided > 5 && measured > 5, "{decided} {measured}");
    let (schema, _, code) = run(dir.path(), &["schema", "metrics"]);
    assert_eq!(code, Some(0));
    let schema: Value = serde_json::from_str(&schema).unwrap();
    let fields = &schema["$defs"]["SlotRow"]["properties"];
    let told = ["stage", "alpha", "contribution"].map(|field| fields[field]["description"].as_str().unwrap());
    // Line breaks of the descriptions do not matter.
    let told = told.map(|text| text.split_whitespace().collect::<Vec<_>>().join(" "));
    insta::assert_snapshot!(told.join("\n"));
}
