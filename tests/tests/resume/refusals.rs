//! Runs that cannot be resumed: the message, and that nothing changes.

use crate::home::{Home, contents};
use kasmina_tests::{output, shell::in_shell};
use std::os::unix::fs::PermissionsExt as _;

#[test]
fn a_run_that_cannot_be_resumed_is_refused_and_unchanged() {
    type Change = fn(&Home);
    let cases: [(&str, Change); 14] = [
        ("a plugin's copy is gone, and the plugin is not loaded", |home| {
            std::fs::remove_dir_all(home.path("run/plugins")).unwrap();
        }),
        ("a plugin's copy was altered", |home| {
            for entry in std::fs::read_dir(home.path("run/plugins")).unwrap().map(Result::unwrap) {
                let mut bytes = std::fs::read(entry.path()).unwrap();
                bytes.extend([0; 8]);
                std::fs::write(entry.path(), bytes).unwrap();
            }
        }),
        ("a file is truncated", |home| {
            let path = home.newest("run").join("model.safetensors");
            let bytes = std::fs::read(&path).unwrap();
            std::fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
        }),
        ("a bit is flipped", |home| {
            let path = home.newest("run").join("optimizer.safetensors");
            let mut bytes = std::fs::read(&path).unwrap();
            let last = bytes.len() - 1;
            bytes[last] ^= 1;
            std::fs::write(&path, bytes).unwrap();
        }),
        ("the manifest is half there", |home| {
            let path = home.newest("run").join("manifest.json");
            std::fs::write(&path, "{\n  \"schema\": 1,\n").unwrap();
        }),
        ("a tensor is missing", |home| home.rewrite(|_, model| drop(model.remove(0)))),
        ("a tensor too many", |home| {
            home.rewrite(|_, model| {
                let extra = model[0].1.clone();
                model.push(("host.extra".to_owned(), extra));
            });
        }),
        ("a tensor has another shape", |home| {
            home.rewrite(|_, model| {
                let count = model[0].1.shape.iter().product();
                model[0].1.shape = vec![count, 1, 1, 1, 1];
            });
        }),
        ("a tensor has another dtype", |home| {
            home.rewrite(|_, model| model[0].1.dtype = kasmina_checkpoint::Dtype::I32);
        }),
        ("a later version wrote it", |home| {
            let path = home.newest("run").join("manifest.json");
            let text = std::fs::read_to_string(&path).unwrap();
            std::fs::write(&path, text.replace("\"schema\": 2", "\"schema\": 3")).unwrap();
        }),
        ("something else flows through a slot", |home| {
            home.rewrite(|state, _| state["model"]["slots"][0]["topology"] = "transformer".into());
        }),
        ("the host has no such slot any more", |home| {
            home.rewrite(|state, _| state["model"]["slots"][0]["slot"] = "block9".into());
        }),
        ("a setting was changed", |home| {
            let path = home.path("run/config.toml");
            let text = std::fs::read_to_string(&path).unwrap();
            std::fs::write(&path, text.replace("batch_size = 64", "batch_size = 32")).unwrap();
        }),
        ("the data were changed", |home| {
            home.rewrite(|state, _| state["inputs"]["training data"] = "0".into());
        }),
    ];
    let mut table = String::new();
    for (what, change) in cases {
        let home = Home::finished();
        change(&home);
        let before = contents(&home.path("run"));
        let mut args = vec!["--epochs", "6"];
        // The shipped plugins are not in the path, so that only the run's own copies can be loaded.
        let refusal = if what.starts_with("a plugin's copy") {
            let mut command = home.command(&["train", "--resume", "run"]);
            command.args(&args).env("KASMINA_PLUGIN_PATH", home.path("one.jsonl").parent().unwrap());
            let (_, error, code) = output(command);
            assert_eq!(code, Some(1), "{error}");
            home.message(&error)
        } else {
            home.refusal(&args)
        };
        args.clear();
        table.push_str(&format!("{what}\n{refusal}\n\n"));
        assert!(before == contents(&home.path("run")), "{what}: something has changed");
    }
    insta::assert_snapshot!(table);
}

#[test]
fn a_run_that_cannot_be_written_is_left_as_it_is() {
    // If root runs the tests, the program is started without root's capabilities.
    let root = rustix::process::geteuid().is_root();
    let bare = if root { "setpriv --bounding-set=-all --inh-caps=-all" } else { "" };
    let mut table = String::new();
    for (what, before, mode) in [
        ("nobody may write into it", format!("exec {bare} "), 0o555),
        ("no file can grow", "trap '' XFSZ; ulimit -f 0; exec ".to_owned(), 0o755),
    ] {
        let home = Home::finished();
        let whole = contents(&home.path("run"));
        let allow = |mode| {
            for folder in ["run", "run/checkpoints"] {
                std::fs::set_permissions(home.path(folder), std::fs::Permissions::from_mode(mode)).unwrap();
            }
        };
        allow(mode);
        let kasmina = home.command(&["train", "--resume", "run", "--epochs", "6"]);
        let (_, error, code) = output(in_shell(&kasmina, &format!("{before}\"$@\""), &[]));
        allow(0o755);
        assert_eq!(code, Some(1), "{error}");
        table.push_str(&format!("{what}\n{}\n\n", home.message(&error)));
        assert!(whole == contents(&home.path("run")), "{what}: something has changed");
    }
    insta::assert_snapshot!(table);
}
