//! Whose files a resumed run may execute.

use crate::home::Home;
use kasmina_tests::{kasmina, output};

/// docs/security.md: 6
#[test]
fn a_run_of_somebody_else_is_not_trusted() {
    let home = Home::finished();
    let stranger = |args: &[&str]| {
        // Another user's state folder, none of whose runs has used these bytes; another project; no plugins
        // elsewhere.
        let other = home.path("other");
        std::fs::create_dir_all(&other).unwrap();
        let mut command = home.command(&["train", "--resume", "../run", "--epochs", "5"]);
        command.current_dir(&other).args(args).env("HOME", &other).env("KASMINA_PLUGIN_PATH", &other);
        command.env_remove("KASMINA_ALLOW_UNSIGNED");
        output(command)
    };
    let (_, error, code) = stranger(&[]);
    assert_eq!(code, Some(1), "{error}");
    assert!(
        error.contains("a run directory vouches for nothing") && error.contains("--trust-run"),
        "{error}"
    );
    // A lock file in the run directory is the stranger's word too, also for whoever stands in it.
    std::fs::copy(home.path("plugins.lock"), home.path("run/plugins.lock")).unwrap();
    let mut inside = home.command(&["train", "--resume", ".", "--epochs", "5"]);
    let other = home.path("other");
    inside.current_dir(home.path("run")).env("HOME", &other).env("KASMINA_PLUGIN_PATH", &other);
    let (_, error, code) = output(inside);
    assert_eq!(code, Some(1), "{error}");
    assert!(error.contains("a run directory vouches for nothing"), "{error}");
    let (_, error, code) = stranger(&["--trust-run"]);
    assert_eq!(code, Some(0), "{error}");
}

/// A run that goes on removes checkpoints that are newer than its own. Where a stranger's link leads, they
/// are another run's.
///
/// docs/security.md: 6
#[test]
fn a_link_in_the_place_of_a_folder_is_not_followed() {
    let home = Home::finished();
    for folder in ["checkpoints", "plugins"] {
        let aside = home.path("elsewhere");
        std::fs::rename(home.path("run").join(folder), &aside).unwrap();
        std::os::unix::fs::symlink(&aside, home.path("run").join(folder)).unwrap();
        let (_, error, code) = home.resume(&["--epochs", "5"]);
        assert_eq!(code, Some(1));
        insta::assert_snapshot!(format!("link_{folder}"), error);
        std::fs::remove_file(home.path("run").join(folder)).unwrap();
        std::fs::rename(&aside, home.path("run").join(folder)).unwrap();
    }
    let aside = home.path("elsewhere");
    std::fs::rename(home.path("run/checkpoints"), &aside).unwrap();
    std::os::unix::fs::symlink(&aside, home.path("run/checkpoints")).unwrap();
    let (_, error, code) = home.resume(&["--epochs", "5", "--trust-run"]);
    assert_eq!(code, Some(0), "{error}");
}

#[test]
fn a_host_module_of_somebody_else_is_not_run() {
    let home = tempfile::tempdir().unwrap();
    let config = kasmina_tests::cases::write("digits_grafted", home.path());
    let mut command = kasmina(home.path());
    command.args(["train", "--epochs", "1", "--out", "run", "--config"]).arg(config);
    let (_, error, code) = output(command);
    assert_eq!(code, Some(0), "{error}");
    let other = home.path().join("other");
    std::fs::create_dir_all(&other).unwrap();
    let stranger = |args: &[&str]| {
        let mut command = kasmina(home.path());
        command.args(["train", "--resume", "run", "--epochs", "2"]).args(args).env("HOME", &other);
        output(command)
    };
    let (_, error, code) = stranger(&[]);
    assert_eq!(code, Some(1), "{error}");
    assert!(error.contains("it is the host module that a run directory names"), "{error}");
    let (_, error, code) = stranger(&["--trust-run"]);
    assert_eq!(code, Some(0), "{error}");
}
