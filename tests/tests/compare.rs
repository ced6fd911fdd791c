//! `kasmina compare`: runs in processes of their own, control arms, table, report and plot.

use kasmina_tests::{SHIPPED, fixture, kasmina, output, shipped};
use kasmina_trainer::RunConfig;
use kasmina_trainer::compare::{Arm, CompareConfig, CurvePoint, Done, Job, Report, Runner, Verdict, compare};
use kasmina_trainer::run::{SeedFate, Status, Summary};
use std::collections::BTreeMap;
use std::fs;

const CONFIG: &str = r#"
seeds = 2
tuning_seeds = 1
rates = [5e-3, 1e-2]

[run]
task = "digits"
epochs = 14
device = "cpu"
slots = ["late"]
[run.data]
train_samples = 300
validation_samples = 200
[run.growth]
first_epoch = 2
[run.lifecycle.gates]
min_training_improvement = 0.1
min_contribution = 0.1
"#;

#[test]
fn a_comparison_runs_every_arm_and_no_run_twice() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("small.toml"), CONFIG).unwrap();
    let run = || {
        let mut command = kasmina(dir.path());
        command.args(["compare", "small.toml", "--out", "out", "--jobs", "2"]);
        let (stdout, stderr, code) = output(command);
        assert_eq!(code, Some(0), "{stderr}");
        stdout
    };
    // Two tasks share the runs; each is made once, and task 1 writes the report.
    let tasks = ["1/2", "2/2"].map(|task| {
        let mut command = kasmina(dir.path());
        command.args(["compare", "small.toml", "--out", "out", "--jobs", "1", "--task-of", task]);
        std::thread::spawn(|| output(command))
    });
    let [first, second] = tasks.map(|task| task.join().unwrap());
    assert_eq!((first.2, second.2), (Some(0), Some(0)), "{}{}", first.1, second.1);
    assert!(second.1.contains("task 1 writes the report") && second.0.is_empty(), "{second:?}");
    let table = first.0;
    let report: Report =
        serde_json::from_slice(&fs::read(dir.path().join("out/compare.json")).unwrap()).unwrap();
    let arms: Vec<Arm> = report.rows.iter().map(|row| row.arm).collect();
    assert_eq!(arms, [Arm::Grown, Arm::Host, Arm::Naive, Arm::Static, Arm::Matched]);
    for row in &report.rows {
        assert!(
            row.accuracies.len() == 2 && row.accuracies.iter().all(|a| (0.0..=100.0).contains(a)),
            "{row:?}"
        );
        let last = row.curve.last().unwrap();
        assert!((last.accuracy - row.mean).abs() < 1e-9 && row.training_multiply_adds > 0.0, "{row:?}");
        assert!((last.multiply_adds / row.training_multiply_adds - 1.0).abs() < 1e-9, "{row:?}");
        assert!(table.contains(row.arm.id()), "{table}");
    }
    let of = |arm: Arm| report.rows.iter().find(|row| row.arm == arm).unwrap();
    assert!(of(Arm::Naive).parameters > of(Arm::Host).parameters);
    assert!(of(Arm::Naive).multiply_adds > of(Arm::Host).multiply_adds);
    assert_eq!(
        of(Arm::Static).parameters,
        of(Arm::Grown).parameters,
        "the static arm trains the grown network"
    );
    let ratio = of(Arm::Matched).training_multiply_adds / of(Arm::Grown).training_multiply_adds;
    assert!((0.9..1.1).contains(&ratio), "{ratio}");
    let picture = fs::read_to_string(dir.path().join("out/compare.svg")).unwrap();
    assert!(picture.starts_with("<svg") && picture.contains("grown:") && picture.contains("matched:"));

    // A second time, nothing runs and the table is the same, including times.
    assert_eq!(run(), table);
    // A run without a summary was interrupted and runs again.
    let victim = fs::read_dir(dir.path().join("out/runs")).unwrap().map(|e| e.unwrap().path());
    let victim = victim.filter(|p| p.is_dir()).min().unwrap();
    fs::remove_file(victim.join("summary.json")).unwrap();
    run();
    assert!(victim.join("summary.json").exists());

    // So does a run of another build of a plugin, of other data or of another program; modification times do
    // not matter.
    let path = victim.join("summary.json");
    let written = || fs::read_to_string(&path).unwrap();
    let before = written();
    let summary: Summary = serde_json::from_str(&before).unwrap();
    let sha256 = summary.plugins.iter().find_map(|p| p.sha256.as_ref()).unwrap();
    fs::write(&path, before.replace(sha256.as_str(), &"0".repeat(64))).unwrap();
    run();
    assert!(written().contains(sha256.as_str()));
    let data = summary.inputs["training data"].as_str();
    fs::write(&path, before.replace(data, &"0".repeat(64))).unwrap();
    run();
    assert!(written().contains(data));
    fs::write(&path, before.replace(&summary.version, "long ago")).unwrap();
    fs::File::options().append(true).open(&path).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
    run();
    assert!(written().contains("long ago"), "a modification time alone does not make a run run again");
    let mut program = victim.into_os_string();
    program.push(".program");
    assert_eq!(fs::read_to_string(&program).unwrap().len(), 64);
    fs::write(&program, "another").unwrap();
    run();
    assert!(!written().contains("long ago"));
}

/// A task that waits for a run learns that it has failed, and does not take the failure of an earlier array
/// for one of its own.
#[test]
fn a_failed_run_of_a_task_is_told_to_the_others() {
    let dir = tempfile::tempdir().unwrap();
    let config = CONFIG.replace("[run]\n", "[run]\nblueprint = \"panics_later\"\n");
    fs::write(dir.path().join("small.toml"), config).unwrap();
    for array in ["1", "2"] {
        let tasks = ["1/2", "2/2"].map(|task| {
            let mut command = kasmina(dir.path());
            command.args(["compare", "small.toml", "--out", "out", "--jobs", "1", "--task-of", task]);
            command.env("SLURM_ARRAY_JOB_ID", array);
            let paths = SHIPPED.iter().map(|name| shipped(name)).chain([fixture("ill_seeds")]);
            command.env("KASMINA_PLUGIN_PATH", std::env::join_paths(paths).unwrap());
            std::thread::spawn(|| output(command))
        });
        for (_, error, code) in tasks.map(|task| task.join().unwrap()) {
            assert!(code == Some(1) && error.contains("was told to panic"), "{error}");
        }
        for name in fs::read_dir(dir.path().join("out/runs")).unwrap().map(|entry| entry.unwrap().path()) {
            if name.extension().is_some_and(|extension| extension == "failed") {
                assert!(fs::read_to_string(name).unwrap().starts_with(&format!("{array} \n")));
            }
        }
    }
}

/// Returns made-up results instead of running; collects the configurations by the name of the run.
struct FakeRunner(BTreeMap<String, RunConfig>);

impl Runner for FakeRunner {
    fn run(&mut self, jobs: &[Job]) -> Result<Vec<Done>, kasmina_trainer::TrainError> {
        self.0.extend(jobs.iter().map(|job| (job.name.clone(), job.config.clone())));
        Ok(jobs.iter().map(|job| made_up_result(&job.config)).collect())
    }
}

/// Made-up result of a run: the accuracy rises with the learning rate, or falls with it if seeds are
/// disabled; growing adds two points.
fn made_up_result(config: &RunConfig) -> Done {
    let rate = config.optimizer.learning_rate;
    let grown = config.controller == "periodic" && !config.disable_seeds;
    let score = if config.disable_seeds { -rate } else { rate };
    let accuracy = 90.0 + score + if grown { 2.0 } else { 0.0 } + config.seed as f64 % 3.0;
    let fossil = SeedFate {
        seed_id: "s".into(),
        slot: "block1".into(),
        blueprint: "conv_light".into(),
        fate: "fossilized".into(),
        reason: None,
        germinated_epoch: 3,
        contribution: None,
        parameters: 7,
    };
    let whole = if config.disable_seeds { 100.0 } else { 200.0 };
    let summary = Summary {
        status: Status::Completed,
        error: None,
        version: String::new(),
        torch: String::new(),
        task: config.task.clone(),
        seed: config.seed,
        device: String::new(),
        threads: 1,
        seeds_disabled: config.disable_seeds,
        controller: config.controller.clone(),
        epochs: config.epochs,
        final_val_accuracy: Some(accuracy),
        best_val_accuracy: Some(accuracy),
        germinated: 1,
        fossilized: 1,
        pruned: 0,
        host_params: 10,
        total_params: 17,
        steps: 1,
        steps_per_second: 1.0,
        multiply_adds: 200,
        training_multiply_adds: if grown { 150.0 } else { whole } * f64::from(config.epochs),
        skipped_steps: BTreeMap::new(),
        wall_seconds: 1.0,
        seeds: if grown { vec![fossil] } else { Vec::new() },
        plugins: Vec::new(),
        inputs: BTreeMap::new(),
    };
    Done { summary, curve: vec![CurvePoint { multiply_adds: 1.0, accuracy }] }
}

#[test]
fn every_arm_has_its_own_rate_and_follows_the_grown_run_of_its_seed() {
    let config =
        CompareConfig { seeds: 3, tuning_seeds: 2, rates: vec![0.1, 0.2, 0.3], run: RunConfig::default() };
    let mut runner = FakeRunner(BTreeMap::new());
    let report = compare(&config, &mut runner).unwrap();
    let rates: Vec<(Arm, f64, bool)> = report.rows.iter().map(|r| (r.arm, r.rate, r.at_the_edge)).collect();
    assert_eq!(rates[0], (Arm::Grown, 0.3, true));
    assert_eq!(rates[1], (Arm::Host, 0.1, true));
    // Five arms: three rates by two seeds, and one rate by three others.
    assert_eq!(runner.0.len(), 5 * (3 * 2 + 3));

    let naive = &runner.0["naive-rate0.3-seed2"];
    let preinstalled: Vec<(&str, u32)> =
        naive.preinstalled.iter().map(|p| (p.slot.as_str(), p.epoch)).collect();
    assert_eq!(
        (preinstalled, naive.controller.as_str()),
        (vec![("early", 3), ("mid", 4), ("late", 5)], "none")
    );
    let whole = &runner.0["static-rate0.3-seed2"];
    assert_eq!(
        (whole.preinstalled.len(), whole.preinstalled[0].slot.as_str(), whole.preinstalled[0].epoch),
        (1, "block1", 0)
    );
    // The grown run costs 150 an epoch, the matched arm 200: three quarters of the epochs.
    assert_eq!(runner.0["matched-rate0.3-seed2"].epochs, 45);
    let verdicts: Vec<Verdict> = report.against.iter().map(|a| a.verdict).collect();
    assert_eq!(verdicts, vec![Verdict::Better; 4]);
    assert!((report.against[0].difference - 2.4).abs() < 1e-9, "{:?}", report.against[0]);

    let wrong = CompareConfig { rates: vec![0.2, 0.1], ..config };
    let error = compare(&wrong, &mut runner).unwrap_err().to_string();
    assert_eq!(error, "setting `rates`: the rates are not in rising order");
}

/// Preinstalled seeds are in the configuration, not in the journal of commands; the second run has the same
/// bits.
#[test]
fn a_run_with_preinstalled_seeds_is_reproduced_from_its_journal_and_replayed() {
    let dir = tempfile::tempdir().unwrap();
    let text = "epochs = 4\ndevice = \"cpu\"\ncontroller = \"none\"\npreinstalled = [{ slot = \"early\" }, { slot = \"late\", epoch = 2 }]\n\
                [data]\ntrain_samples = 200\nvalidation_samples = 100\n";
    fs::write(dir.path().join("run.toml"), text).unwrap();
    let run = |args: &[&str]| {
        let mut command = kasmina(dir.path());
        command.args(args);
        let (stdout, stderr, code) = output(command);
        assert_eq!(code, Some(0), "{stderr}");
        stdout
    };
    run(&["train", "--config", "run.toml", "--out", "first"]);
    run(&["train", "--config", "first/config.toml", "--script", "first/commands.jsonl", "--out", "again"]);
    let bits = |name: &str| kasmina_tests::runs::bits(&dir.path().join(name));
    assert_eq!(bits("first"), bits("again"));
    let summary: Summary =
        serde_json::from_slice(&fs::read(dir.path().join("first/summary.json")).unwrap()).unwrap();
    assert_eq!((summary.germinated, summary.fossilized), (2, 2), "{summary:#?}");
    assert!(run(&["replay", "first"]).contains("block2: all 1 decisions come out as recorded"));
}
