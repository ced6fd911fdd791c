//! What users do with an export in Python.

use crate::structures::{Case, HOSTS};
use kasmina_tests::python::python;
use kasmina_tests::{kasmina, output};
use std::path::Path;

const PROMPT: &str = "407+0";

#[test]
fn an_export_works_in_pipelines_and_compilers_and_in_half_precision() {
    let Some(mut python) = python("an_export_works_in_pipelines_and_compilers_and_in_half_precision") else {
        return;
    };
    let home = tempfile::tempdir().unwrap();
    let registry = kasmina_tests::registry(&[]);
    for (host, blueprints) in [(&HOSTS[0], ["conv_light", "attention"]), (&HOSTS[2], ["attention", "lora"])] {
        let seeds = host.slots.iter().zip(blueprints).map(|(slot, blueprint)| (*slot, blueprint)).collect();
        let case = Case { name: host.id.to_owned(), host, blend: "gated", alpha: 0.7, seeds };
        case.export(home.path(), &registry);
        let folder = home.path().join(host.id);
        run(&folder, &["export", "run", "--to", "half", "--dtype", "bf16"]);
        run(&folder, &["export", "run", "--to", "half-script", "--dtype", "bf16", "--format", "torchscript"]);
    }
    let printed = run(
        &home.path().join("transformer"),
        &["generate", "run", "--prompt", PROMPT, "--temperature", "0", "--device", "cpu"],
    );
    let wanted = printed.trim_end().strip_prefix(PROMPT).unwrap();
    python.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/export/uses.py"));
    python.arg(home.path()).args([PROMPT, wanted]).env("HOME", home.path());
    // The compiler's cache.
    python.env("TORCHINDUCTOR_CACHE_DIR", home.path().join("inductor"));
    let out = python.output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
}

fn run(folder: &Path, arguments: &[&str]) -> String {
    let mut command = kasmina(folder);
    command.args(arguments);
    let (stdout, stderr, code) = output(command);
    assert_eq!(code, Some(0), "{arguments:?}: {stderr}");
    stdout
}
