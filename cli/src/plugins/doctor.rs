//! `kasmina plugins doctor`.

use super::args::Access;
use crate::failure::Failure;
use crate::terminal;
use kasmina_registry::child::{Limits, Outcome, Program, run as run_jobs};
use kasmina_registry::doctor::{Finding, Weight, examine};
use std::process::ExitCode;

pub(crate) fn run(access: &Access, json: bool) -> Result<ExitCode, Failure> {
    let mut findings = vec![device(), child()];
    findings.extend(examine(&access.search(), &access.policy())?);
    let worst = findings.iter().map(|f| f.weight).max();
    if json {
        terminal::out_json(&findings)?;
    } else {
        findings.iter().for_each(print);
        let problems = findings.iter().filter(|f| f.weight == Weight::Problem).count();
        outln!();
        match problems {
            0 => outln!("no problems"),
            1 => outln!("1 problem"),
            n => outln!("{n} problems"),
        }
    }
    Ok(if worst == Some(Weight::Problem) { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn device() -> Finding {
    match kasmina_torch_ext::cuda::open() {
        Ok(()) if tch::Cuda::is_available() => {
            Finding::new(Weight::Fine, "device", format!("{} GPUs", tch::Cuda::device_count()))
        }
        Ok(()) => Finding::new(Weight::Note, "device", "torch has CUDA support, but finds no GPU"),
        Err(error) => Finding::new(Weight::Fine, "device", format!("CPU only: {error}")),
    }
}

/// Checks that the child process in which builds are probed starts and answers.
fn child() -> Finding {
    let mut answered = false;
    let jobs = [serde_json::Value::Null];
    let program = Program::this([crate::child::VERB]);
    let done = run_jobs(&program, &jobs, Limits::default(), &mut |_, outcome| {
        answered |= matches!(outcome, Some(Outcome::Answered { .. }));
    });
    let found = match done {
        Ok(()) if answered => return Finding::new(Weight::Fine, "child process", "starts and answers"),
        Ok(()) => "it starts but does not answer".to_owned(),
        Err(error) => error.to_string(),
    };
    Finding::new(Weight::Problem, "child process", found).with_remedy(
        "builds are probed in a child process before they are loaded: check `ulimit -v` and the free memory",
    )
}

fn print(finding: &Finding) {
    let mark = match finding.weight {
        Weight::Fine => "ok  ",
        Weight::Note => "note",
        Weight::Problem => "BAD ",
    };
    outln!("{mark}  {:<12}  {}", finding.about, finding.found);
    if let Some(remedy) = &finding.remedy {
        outln!("      {:<12}  help: {remedy}", "");
    }
}
