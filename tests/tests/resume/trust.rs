//! Trust in the files of a run directory that is resumed.

use crate::home::Home;
use kasmina_tests::{kasmina, output};

/// docs/security.md: 6
#[test]
fn a_run_of_somebody_else_is_not_trusted() {
    let home = Home::finished();
    let as_other_user = |args: &[&str]| {
        // As another user: a home without a record of these plugins, another project, and no other plugins.
        let other = home.path("other");
        std::fs::create_dir_all(&other).unwrap();
        let mut command = home.command(&["train", "--resume", "../run", "--epochs", "5"]);
        command.current_dir(&other).args(args).env("HOME", &other).env("KASMINA_PLUGIN_PATH", &other);
        command.env_remove("KASMINA_ALLOW_UNSIGNED");
        output(command)
    };
    let (_, error, code) = as_other_user(&[]);
    assert_eq!(code, Some(1), "{error}");
    assert!(
        error.contains("a run directory is not trusted by itself") && error.contains("--trust-run"),
        "{error}"
    );
    // A lock file in the run directory is not trusted either, even if the command runs in that directory.
    std::fs::copy(home.path("plugins.lock"), home.path("run/plugins.lock")).unwrap();
    let mut inside = home.command(&["train", "--resume", ".", "--epochs", "5"]);
    let other = home.path("other");
    inside.current_dir(home.path("run")).env("HOME", &other).env("KASMINA_PLUGIN_PATH", &other);
    let (_, error, code) = output(inside);
    assert_eq!(code, Some(1), "{error}");
    assert!(error.contains("a run directory is not trusted by itself"), "{error}");
    let (_, error, code) = as_other_user(&["--trust-run"]);
    assert_eq!(code, Some(0), "{error}");
}

/// A resumed run removes checkpoints that are newer than its own. Behind a link they would be those of
/// another run.
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
    let as_other_user = |args: &[&str]| {
        let mut command = kasmina(home.path());
        command.args(["train", "--resume", "run", "--epochs", "2"]).args(args).env("HOME", &other);
        output(command)
    };
    let (_, error, code) = as_other_user(&[]);
    assert_eq!(code, Some(1), "{error}");
    assert!(error.contains("it is the host module of a run directory"), "{error}");
    let (_, error, code) = as_other_user(&["--trust-run"]);
    assert_eq!(code, Some(0), "{error}");
}
