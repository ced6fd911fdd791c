//! The Python example of README.

use kasmina_tests::python::python;
use kasmina_tests::{kasmina, output};

#[test]
fn the_example_of_the_readme_runs() {
    let Some(mut python) = python("the_example_of_the_readme_runs") else { return };
    let readme = include_str!("../../../README.md");
    let (_, example) = readme.split_once("```python\n").unwrap();
    let (example, _) = example.split_once("```").unwrap();
    assert_eq!(example.lines().count(), 5);
    let home = tempfile::tempdir().unwrap();
    for arguments in [
        ["train", "--epochs", "1", "--device", "cpu", "--out", "runs/r1"].as_slice(),
        &["export", "runs/r1", "--to", "net"],
    ] {
        let mut command = kasmina(home.path());
        command.args(arguments);
        let (_, stderr, code) = output(command);
        assert_eq!(code, Some(0), "{stderr}");
    }
    let out = python.current_dir(home.path()).args(["-c", example]).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let printed = String::from_utf8(out.stdout).unwrap();
    let words = printed.split(|c: char| !c.is_ascii_digit() && c != '.' && c != 'e' && c != '-');
    let numbers: Vec<f64> =
        words.filter(|word| word.contains('.')).filter_map(|word| word.parse().ok()).collect();
    assert!(numbers.len() == 10 && (numbers.iter().sum::<f64>() - 1.0).abs() < 0.01, "{printed}");
}
