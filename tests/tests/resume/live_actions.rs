//! Actions on a live run (swaps, prunes) are repeated after a resume, and the state of TorchScript seeds is
//! restored.

use crate::home::Home;
use crate::live::{Live, actions, signal, start, until};
use kasmina_checkpoint::Checkpoint;
use kasmina_tests::{behaviours::Waver, builds::Builds, output, runs};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Stdio;

#[test]
fn actions_on_a_live_run_are_repeated_after_a_resume() {
    let builds = Builds::new();
    let (first, second) = (builds.make(Waver::Linear, 0), builds.make(Waver::OtherCurve, 1));
    let home = Home::empty();
    let config = format!(
        "task = \"digits\"\nepochs = 10\ndevice = \"cpu\"\nblend = \"waver\"\nplugin_path = [{first:?}]\n\
         [data]\ntrain_samples = 640\nvalidation_samples = 100\n[lifecycle]\npermissive = true\ntrain_fraction = 0.00001\n\
         [alpha]\ntempo = 4\n[growth]\nfirst_epoch = 1\n[checkpoint]\nevery_steps = 1\nkeep = 400\n",
    );
    std::fs::write(home.path("config.toml"), config).unwrap();
    // The reference run: during BLENDING a build is swapped in, and a prune is requested.
    let mut command = home.command(&["train", "--config", "config.toml", "--out", "whole"]);
    let mut live = Live(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    let json_of = |args: &[&str]| {
        let (out, error, code) = output(home.command(args));
        assert_eq!(code, Some(0), "{error}");
        serde_json::from_str::<Value>(&out).unwrap()
    };
    let blending = || {
        let text = std::fs::read_to_string(home.path("whole/events.jsonl")).unwrap_or_default();
        text.contains("\"to\":\"BLENDING\"")
    };
    until("a seed is blended in", blending);
    json_of(&["control", "whole", "pause"]);
    let swapped = json_of(&["plugins", "swap", "whole", second.to_str().unwrap()]);
    assert!(!swapped["slots"].as_array().unwrap().is_empty(), "{swapped}");
    let at = swapped["step"].as_u64().unwrap();
    let mut prune =
        Live(home.command(&["control", "whole", "prune", "late"]).stderr(Stdio::null()).spawn().unwrap());
    until("the prune is in the journal", || actions(&home.path("whole")).contains(&"prune".to_owned()));
    json_of(&["control", "whole", "resume"]);
    assert_eq!(prune.0.wait().unwrap().code(), Some(1), "there is no seed");
    assert_eq!(live.0.wait().unwrap().code(), Some(0));
    let reference = runs::bits(&home.path("whole"));
    let text = serde_json::to_string(&reference).unwrap();
    assert!(
        text.contains("PLUGIN_SWAPPED") && text.contains("PLUGIN_CONFIRMED"),
        "the trial has ended within the run"
    );

    // Resume from before the swap, at the swap, at the end of its trial, and later.
    let steps: Vec<(u64, PathBuf)> = home
        .checkpoints("whole")
        .into_iter()
        .map(|path| (Checkpoint::read(&path).unwrap().about.step, path))
        .collect();
    // A trial takes 32 steps, or ends with the epoch if its seed is pruned then.
    let steps_of_epoch = steps.last().unwrap().0 / 10;
    let end_of_epoch = (at / steps_of_epoch + 1) * steps_of_epoch;
    let during = steps.iter().filter(|(step, _)| (at + 1..end_of_epoch.min(at + 32)).contains(step)).count();
    assert_eq!(during, 0, "no checkpoint is written while a build is on trial");
    let mut tried = 0;
    for wanted in [at.saturating_sub(3), at, at + 32, at + 40] {
        let Some((step, path)) = steps.iter().find(|(step, _)| *step >= wanted) else { continue };
        let copy = home.path("again");
        let _ = std::fs::remove_dir_all(&copy);
        copy_run(&home.path("whole"), &copy, path);
        let (_, error, code) = output(home.command(&["train", "--resume", "again"]));
        assert_eq!(code, Some(0), "from step {step}: {error}");
        assert!(runs::bits(&copy) == reference, "from step {step} the run ends differently");
        let model = |run: &str| std::fs::read(home.newest(run).join("model.safetensors")).unwrap();
        assert!(model("again") == model("whole"), "from step {step}");
        tried += 1;
    }
    assert!(tried >= 3, "only {tried} of the checkpoints exist");
}

#[test]
fn the_running_statistics_of_a_torchscript_seed_are_saved() {
    let home = Home::empty();
    let module = home.path("normed.pt");
    let made = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/script/normed.pt");
    std::fs::copy(made, &module).unwrap();
    let sidecar = "[blueprint]\nid = \"normed\"\nsummary = \"a branch with batch norm\"\ntopologies = [\"cnn\"]\n\
                   \n[module]\nchannels = 3\n";
    std::fs::write(home.path("normed.pt.toml"), sidecar).unwrap();
    let line = "{\"epoch\":1,\"command\":\"germinate\",\"slot\":\"early\",\"seed_id\":\"one\",\"blueprint\":\"normed\",\
                \"blend\":\"linear\",\"tempo\":2}\n";
    std::fs::write(home.path("one.jsonl"), line).unwrap();
    home.configure("[checkpoint]\nevery_steps = 1\nkeep = 400\n");
    let (_, error, code) =
        home.train(&["--out", "whole", "--epochs", "6", "--plugin-path", module.to_str().unwrap()]);
    assert_eq!(code, Some(0), "{error}");
    let reference = runs::bits(&home.path("whole"));
    for wanted in [13, 22] {
        let from = home
            .checkpoints("whole")
            .into_iter()
            .find(|path| kasmina_tests::undisturbed::step_of(path) >= wanted);
        let from = from.unwrap();
        let checkpoint = Checkpoint::read(&from).unwrap();
        let names: Vec<&str> = checkpoint.model.iter().map(|(name, _)| name).collect();
        assert!(names.contains(&"slot.block0.seed.module.norm_running_mean"), "{names:?}");
        let copy = home.path("again");
        let _ = std::fs::remove_dir_all(&copy);
        copy_run(&home.path("whole"), &copy, &from);
        let (_, error, code) = output(home.command(&["train", "--resume", "again"]));
        assert_eq!(code, Some(0), "{error}");
        assert!(runs::bits(&copy) == reference, "from step {wanted} the run ends differently");
        let model = |run: &str| std::fs::read(home.newest(run).join("model.safetensors")).unwrap();
        assert!(model("again") == model("whole"), "from step {wanted}");
    }
}

#[test]
fn a_request_at_the_step_of_a_stop_is_executed_once() {
    let home = Home::empty();
    let mut live = start(&home, &[]);
    let (_, error, code) = output(home.command(&["control", "run", "pause"]));
    assert_eq!(code, Some(0), "{error}");
    let _prune =
        Live(home.command(&["control", "run", "prune", "early"]).stderr(Stdio::null()).spawn().unwrap());
    until("the prune is in the journal", || !actions(&home.path("run")).is_empty());
    signal(&live, "TERM");
    assert_eq!(live.0.wait().unwrap().code(), Some(143));
    let epochs = (runs::lines(&home.path("run/metrics.jsonl")).len() + 2).to_string();
    let (_, error, code) = home.resume(&["--epochs", &epochs]);
    assert_eq!(code, Some(0), "{error}");
    let rows = runs::lines(&home.path("run/commands.jsonl"));
    assert_eq!(rows.iter().filter(|row| row["reason"] == "asked").count(), 1, "{rows:?}");
}

/// Copies a run as it was when one of its checkpoints was the newest, as a kill right after it would leave
/// it.
fn copy_run(run: &Path, to: &Path, checkpoint: &Path) {
    let into = to.join("checkpoints").join(checkpoint.file_name().unwrap());
    std::fs::create_dir_all(&into).unwrap();
    for (from, to) in [(run, to), (checkpoint, &into), (&run.join("plugins"), &to.join("plugins"))] {
        std::fs::create_dir_all(to).unwrap();
        for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap).filter(|e| e.path().is_file()) {
            std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
    std::fs::remove_file(to.join("summary.json")).unwrap();
}
