//! `kasmina simulate`: transcripts of the shipped scripts, and refusals of wrong scripts. Also `kasmina
//! schema`.

use kasmina::lifecycle::{BlendPlan, Curve, Germination, Lifecycle, Settings};
use kasmina_tests::{kasmina, output};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};

fn scripts() -> Vec<PathBuf> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/scripts");
    let mut all: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    all.sort();
    assert!(all.len() >= 18, "{all:?}");
    all
}

fn simulate(script: &Path, args: &[&str]) -> (String, String, Option<i32>) {
    let mut command = kasmina(script.parent().unwrap());
    command.arg("simulate").arg(script).args(args);
    output(command)
}

/// One snapshot of the transcript for each script.
#[test]
fn every_script_has_its_transcript() {
    for script in scripts() {
        let (stdout, stderr, code) = simulate(&script, &[]);
        assert_eq!((code, stderr.as_str()), (Some(0), ""), "{}", script.display());
        insta::assert_snapshot!(script.file_stem().unwrap().to_str().unwrap(), stdout);
    }
}

/// The lines of `--json` are numbered and have the documented fields.
#[test]
fn every_line_has_the_published_form() {
    let state_fields = [
        "stage",
        "alpha",
        "alpha_target",
        "alpha_mode",
        "epochs_total",
        "epochs_in_stage",
        "isolated",
        "metrics",
    ];
    let metric_fields = [
        "initial_accuracy",
        "current_accuracy",
        "best_accuracy",
        "accuracy_at_stage_start",
        "total_improvement",
        "improvement_since_stage_start",
        "blending_delta",
        "counterfactual_contribution",
        "gradient_ratio",
        "healthy",
        "unhealthy_captures",
        "isolation_violations",
    ];
    for script in scripts() {
        let ops = serde_json::from_slice::<Value>(&fs::read(&script).unwrap()).unwrap()["ops"].clone();
        let (stdout, _, code) = simulate(&script, &["--json"]);
        assert_eq!(code, Some(0));
        let lines: Vec<Value> = stdout.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
        assert_eq!(lines.len(), ops.as_array().unwrap().len());
        for (index, line) in lines.iter().enumerate() {
            assert_eq!((&line["index"], &line["op"]), (&json!(index), &ops[index]["op"]));
            assert_eq!(line["ok"].as_bool().unwrap(), line["error"].is_null());
            assert!(line["events"].is_array() && line.get("state").is_some());
            if let Some(state) = line["state"].as_object() {
                assert!(state_fields.iter().all(|f| state.contains_key(*f)), "{state:?}");
                let metrics = state["metrics"].as_object().unwrap();
                assert!(metric_fields.iter().all(|f| metrics.contains_key(*f)), "{metrics:?}");
            }
        }
    }
}

/// The stages and alphas of a whole run; `tanh` and `sigmoid` of the same steepness are the same curve.
#[test]
fn a_run_has_the_expected_stages_and_alphas() {
    let stages = |name: &str| -> Vec<(String, f64)> {
        let script = scripts().into_iter().find(|s| s.file_stem().unwrap() == name).unwrap();
        let (stdout, ..) = simulate(&script, &["--json"]);
        let lines = stdout.lines().map(|l| serde_json::from_str::<Value>(l).unwrap());
        lines
            .filter(|l| l["op"] == "step_epoch")
            .map(|l| match l["state"].as_object() {
                None => ("DORMANT".to_owned(), 0.0),
                Some(s) => (s["stage"].as_str().unwrap().to_owned(), s["alpha"].as_f64().unwrap()),
            })
            .collect()
    };
    let run: Vec<(String, f64)> = stages("holding-timeout");
    let row = |stage: &str, alpha: f64| (stage.to_owned(), alpha);
    let expected = [
        row("TRAINING", 0.0),
        row("TRAINING", 0.0),
        row("BLENDING", 0.0),
        row("BLENDING", 0.2),
        row("BLENDING", 0.4),
        row("BLENDING", 0.6),
        row("BLENDING", 0.8),
        row("HOLDING", 1.0),
        row("HOLDING", 1.0),
        row("HOLDING", 1.0),
        row("HOLDING", 1.0),
        row("HOLDING", 1.0),
        row("DORMANT", 0.0),
    ];
    for (got, want) in run.iter().zip(&expected) {
        assert_eq!(got.0, want.0);
        assert!((got.1 - want.1).abs() < 1e-12);
    }
    assert_eq!(run.len(), expected.len());
    assert_eq!(stages("happy-path-tanh"), stages("happy-path-sigmoid"));
}

fn script() -> Value {
    json!({
        "schema": 1,
        "slot": {"id": "early", "topology": "cnn"},
        "settings": {"gates": {"min_contribution": 2.0}, "auto_advance": ["G1"], "max_epochs": null},
        "ops": [
            {"op": "germinate", "seed_id": "s", "blueprint_id": "b", "blend": {"id": "linear", "tempo": 3},
             "seed_params": 9, "host_params": 90},
            {"op": "validation", "accuracy": 50.0},
            {"op": "gradients", "seed_norm": "NaN", "host_norm": 1},
            {"op": "schedule_prune", "steps": 2, "reason": "r"},
            {"op": "set_alpha_target", "target": 0.5, "steps": 2, "curve": "cosine"}
        ]
    })
}

/// The message names the position of the mistake; nothing is printed to standard output.
#[test]
fn a_wrong_script_is_refused_with_the_position() {
    type Change = fn(&mut Value);
    let changes: [(&str, Change); 35] = [
        ("schema", |s| s["schema"] = json!(2)),
        ("schema", |s| _ = s.as_object_mut().unwrap().remove("schema")),
        ("slot.topology", |s| s["slot"]["topology"] = json!(7)),
        ("slot.name", |s| s["slot"]["name"] = json!("x")),
        ("slot.id", |s| s["slot"]["id"] = json!(3)),
        ("extra", |s| s["extra"] = json!(1)),
        ("settings.fantasy", |s| s["settings"]["fantasy"] = json!(1)),
        ("settings.gates.min_contribution", |s| s["settings"]["gates"]["min_contribution"] = json!(101)),
        ("settings.gates.min_contribution", |s| s["settings"]["gates"]["min_contribution"] = json!("NaN")),
        ("settings.gates.min_luck", |s| s["settings"]["gates"]["min_luck"] = json!(1)),
        ("settings.gates.min_holding_stability", |s| {
            s["settings"]["gates"]["min_holding_stability"] = json!(0);
        }),
        ("settings.gates.min_blending_epochs", |s| s["settings"]["gates"]["min_blending_epochs"] = json!(-1)),
        ("settings.auto_advance[1]", |s| s["settings"]["auto_advance"] = json!(["G1", "G5"])),
        ("settings.train_fraction", |s| s["settings"]["train_fraction"] = json!(0)),
        ("settings.max_epochs", |s| s["settings"]["max_epochs"] = json!(0)),
        ("settings.holding_timeout", |s| s["settings"]["holding_timeout"] = json!(2.5)),
        ("settings.isolation", |s| s["settings"]["isolation"] = json!("sometimes")),
        ("settings.permissive", |s| s["settings"]["permissive"] = json!("yes")),
        ("ops[0].blend.tempo", |s| s["ops"][0]["blend"]["tempo"] = json!(2.5)),
        ("ops[0].blend.tempo", |s| s["ops"][0]["blend"]["tempo"] = json!("NaN")),
        ("ops[0].blend.curve", |s| s["ops"][0]["blend"]["curve"] = json!("wavy")),
        ("ops[0].blend.colour", |s| s["ops"][0]["blend"]["colour"] = json!("red")),
        ("ops[0].host_params", |s| s["ops"][0]["host_params"] = json!(4_294_967_296_u64)),
        ("ops[0].seed_params", |s| _ = s["ops"][0].as_object_mut().unwrap().remove("seed_params")),
        ("ops[1].accuracy", |s| s["ops"][1]["accuracy"] = json!("fifty")),
        ("ops[1].accuracy", |s| s["ops"][1]["accuracy"] = Value::Null),
        ("ops[1].acuracy", |s| s["ops"][1]["acuracy"] = json!(1)),
        ("ops[1].op", |s| s["ops"][1]["op"] = json!("dance")),
        ("ops[1].op", |s| s["ops"][1] = json!({"accuracy": 1})),
        ("ops[2]", |s| s["ops"][2] = json!("step_epoch")),
        ("ops[2].target", |s| s["ops"][2] = json!({"op": "advance", "target": null})),
        ("ops[4].curve", |s| s["ops"][4]["curve"] = Value::Null),
        ("ops[1].two\\nlines", |s| s["ops"][1]["two\nlines"] = json!(1)),
        ("ops[3].steps", |s| s["ops"][3]["steps"] = json!(-2)),
        ("ops", |s| s["ops"] = json!({})),
    ];
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("script.json");
    let wrong = |text: &str, place: &str| {
        fs::write(&path, text).unwrap();
        let (stdout, stderr, code) = simulate(&path, &["--json"]);
        assert_eq!((stdout.as_str(), code), ("", Some(1)), "{text}");
        assert!(stderr.contains(place), "{place}: {stderr}");
        stderr.lines().next().unwrap().replace(path.to_str().unwrap(), "SCRIPT").trim().to_owned()
    };
    let mut told: Vec<String> = changes
        .iter()
        .map(|(place, change)| {
            let mut script = script();
            change(&mut script);
            wrong(&script.to_string(), &format!("`{place}`"))
        })
        .collect();
    told.push(wrong("{\"schema\": 1,", "not JSON"));
    told.push(wrong("[]", "(the script)"));
    let early = script().to_string().replace("50.0", "1e999");
    told.push(wrong(&early, "not JSON"));
    fs::remove_file(&path).unwrap();
    let (_, stderr, code) = simulate(&path, &[]);
    assert!(code == Some(1) && stderr.contains("No such file"), "{stderr}");
    insta::assert_snapshot!(told.join("\n"));
    // The unchanged script is accepted.
    fs::write(&path, script().to_string()).unwrap();
    assert_eq!(simulate(&path, &[]).2, Some(0));
}

/// `kasmina schema` prints JSON Schemas with the fields and names of the files.
#[test]
fn the_schemas_are_published() {
    let dir = tempfile::tempdir().unwrap();
    let schema = |of: &str| -> (Value, String) {
        let mut command = kasmina(dir.path());
        command.args(["schema", of]);
        let (stdout, stderr, code) = output(command);
        assert_eq!(code, Some(0), "{stderr}");
        (serde_json::from_str(&stdout).unwrap(), stdout)
    };
    let (gates, text) = schema("gates");
    assert_eq!(gates["properties"]["min_contribution"]["maximum"], json!(100.0));
    insta::assert_snapshot!("schema_gates", text);
    let (run, _) = schema("run");
    for field in ["lifecycle", "alpha", "optimizer", "growth", "host", "topology", "script"] {
        assert!(run["properties"].get(field).is_some(), "{field}");
    }
    let (_, commands) = schema("commands");
    for name in ["germinate", "advance", "set_alpha_target", "schedule_prune", "prune", "wait", "prefetch"] {
        assert!(commands.contains(&format!("\"{name}\"")), "{name}");
    }
    let (_, events) = schema("events");
    for name in [
        "SEED_GERMINATED",
        "SEED_GATE_EVALUATED",
        "SEED_STAGE_CHANGED",
        "SEED_FOSSILIZED",
        "SEED_PRUNED",
        "SEED_HEALTH",
        "PLUGIN_SWAPPED",
        "COMMAND",
        "gradient_stats_never_measured",
        "ddp_veto",
        "EMBARGOED",
    ] {
        assert!(events.contains(name), "{name}");
    }
}

/// The lifecycle accepts any topology and any id of a blend; an id does not imply a curve.
#[test]
fn unknown_topologies_and_blends_are_accepted() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("script.json");
    let script = json!({
        "schema": 1,
        "slot": {"id": "a", "topology": "graph"},
        "ops": [
            {"op": "germinate", "seed_id": "s", "blueprint_id": "b", "seed_params": 9, "host_params": 90,
             "blend": {"id": "acme::sigmoid", "tempo": 3}},
        ],
    });
    fs::write(&path, script.to_string()).unwrap();
    let (_, error, code) = simulate(&path, &[]);
    assert_eq!((code, error.as_str()), (Some(0), ""));
    let mut slot = Lifecycle::new("a", "graph", Settings::default());
    slot.germinate(Germination::new("s", "b", BlendPlan::new("sigmoid"))).unwrap();
    assert_eq!(slot.seed().unwrap().alpha.curve(), &Curve::Linear);
}
