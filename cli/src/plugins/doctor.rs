//! `kasmina plugins doctor`.

use super::args::Access;
use crate::failure::Failure;
use crate::terminal;
use kasmina_registry::doctor::{Finding, Weight, examine};
use std::process::ExitCode;

pub(crate) fn run(access: &Access, json: bool) -> Result<ExitCode, Failure> {
    let mut findings = vec![device()];
    findings.extend(examine(&access.search(), &access.policy())?);
    let worst = findings.iter().map(|f| f.weight).max();
    if json {
        terminal::out_json(&findings)?;
    } else {
        findings.iter().for_each(print);
        let problems = findings.iter().filter(|f| f.weight == Weight::Problem).count();
        outln!();
        match problems {
            0 => outln!("nothing stands in the way"),
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
        Ok(()) => Finding::new(Weight::Note, "device", "torch's GPU half is there, and sees no GPU"),
        Err(error) => Finding::new(Weight::Fine, "device", format!("CPU alone: {error}")),
    }
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
