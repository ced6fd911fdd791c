//! Injects a fault into a run, resumes it, and compares it with the undisturbed run.

use crate::fault::Fault;
use crate::small::Small;
use kasmina_tests::undisturbed::{Random, Undisturbed, newest};
use rustix::process::{Pid, Signal, kill_process};
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::{Duration, Instant};

/// Time limit, longer than any of these runs takes.
const TIMEOUT: Duration = Duration::from_mins(3);
/// The files of a checkpoint.
const FILES: [&str; 5] =
    ["model.safetensors", "optimizer.safetensors", "training.safetensors", "state.json", "manifest.json"];

/// Outcome of an injected fault.
pub(crate) enum Outcome {
    /// The run ended before the fault could be injected.
    Missed,
    /// The resumed run ended like the undisturbed one.
    Survived,
    /// It did not, for this reason.
    Lost(String),
}

/// Starts a run, injects a fault, and resumes the run until it is complete.
pub(crate) fn inject(
    case: &Undisturbed,
    fault: Fault,
    small: Small,
    number: usize,
    random: &mut Random,
) -> Outcome {
    let name = format!("fault-{number}");
    let run = case.path(&name);
    let mut command = case.command(&name, 1 + random.below(4));
    let full = fault == Fault::FullDisk;
    if full {
        command = small.around(&command, &run);
    }
    let mut child = command.spawn().unwrap();
    let pid = Pid::from_raw(child.id().try_into().unwrap()).unwrap();
    let folder = if full { small.seen(&run, pid) } else { run.clone() };
    // Wait for a few checkpoints to which the run can be reset.
    let few = 2 + random.below(6) as usize;
    if !wait(&mut child, || count(&folder) >= 2 && newest_number(&folder) >= few) {
        if full {
            small.bring_back(&run);
        }
        return finish(case, &name, None);
    }
    match fault {
        Fault::KillAtFile(file) => {
            let there = || writing(&run).is_some_and(|folder| file.is_empty() || folder.join(file).exists());
            if !wait(&mut child, there) {
                return finish(case, &name, None);
            }
            child.kill().unwrap();
        }
        Fault::Kill | Fault::Flip | Fault::Truncate | Fault::Remove | Fault::RemovePlugins => {
            std::thread::sleep(Duration::from_millis(random.below(200)));
            child.kill().unwrap();
        }
        Fault::Signal(name) => {
            std::thread::sleep(Duration::from_millis(random.below(200)));
            let signal = match name {
                "TERM" => Signal::TERM,
                "INT" => Signal::INT,
                _ => Signal::USR1,
            };
            let _ = kill_process(pid, signal);
        }
        Fault::FullDisk => {
            let filled = small.fill(&run, pid, Duration::from_millis(100 + random.below(300)));
            let whole = child.wait().unwrap().success();
            small.bring_back(&run);
            return match (filled, whole) {
                (_, false) => Outcome::Lost("the run ended on a full disk".to_owned()),
                (filled, true) => finish(case, &name, filled.then_some(fault)),
            };
        }
        Fault::Permissions => {
            // Permissions do not stop root; a file in the folder's place does.
            let (folder, aside) = (run.join("checkpoints"), case.path(&format!("{name}-aside")));
            if std::fs::rename(&folder, &aside).is_err() {
                return finish(case, &name, None);
            }
            std::fs::write(&folder, "").unwrap();
            std::thread::sleep(Duration::from_millis(100 + random.below(200)));
            std::fs::remove_file(&folder).unwrap();
            std::fs::rename(&aside, &folder).unwrap();
        }
    }
    let happened = ended_by_fault(&mut child);
    if !happened && fault != Fault::Permissions {
        return finish(case, &name, None);
    }
    damage(&run, fault, random);
    finish(case, &name, Some(fault))
}

/// Waits until a condition holds. Returns false if the run ends before.
fn wait(child: &mut Child, condition: impl Fn() -> bool) -> bool {
    let begun = Instant::now();
    while begun.elapsed() < TIMEOUT {
        if condition() {
            return true;
        }
        if child.try_wait().unwrap().is_some() {
            return false;
        }
        std::thread::sleep(Duration::from_micros(200));
    }
    panic!("a run does not end");
}

/// Waits for the end of a process. Returns whether it failed or was killed.
fn ended_by_fault(child: &mut Child) -> bool {
    !child.wait().unwrap().success()
}

/// Damages or removes files of a run that has ended, if the fault says so.
fn damage(run: &Path, fault: Fault, random: &mut Random) {
    let Some(checkpoint) = newest(run).filter(|_| count(run) >= 2) else { return };
    let file = checkpoint.join(FILES[random.below(FILES.len() as u64) as usize]);
    match fault {
        Fault::Flip => {
            let mut bytes = std::fs::read(&file).unwrap();
            let at = random.below(bytes.len() as u64) as usize;
            bytes[at] ^= 1 << random.below(8);
            std::fs::write(&file, bytes).unwrap();
        }
        Fault::Truncate => {
            let bytes = std::fs::read(&file).unwrap();
            std::fs::write(&file, &bytes[..random.below(bytes.len() as u64) as usize]).unwrap();
        }
        Fault::Remove => std::fs::remove_file(&file).unwrap(),
        Fault::RemovePlugins => std::fs::remove_dir_all(run.join("plugins")).unwrap(),
        _ => {}
    }
}

/// Resumes a run until it is complete, and compares it with the undisturbed one.
fn finish(case: &Undisturbed, name: &str, fault: Option<Fault>) -> Outcome {
    let mut resumed = case.resume(name);
    let out = resumed.output().unwrap();
    let lost = if out.status.success() {
        case.difference(name)
    } else {
        Some(format!("it cannot be resumed: {}", String::from_utf8_lossy(&out.stderr)))
    };
    match (lost, fault) {
        (Some(why), _) => Outcome::Lost(why),
        (None, fault) => {
            let _ = std::fs::remove_dir_all(case.path(name));
            if fault.is_some() { Outcome::Survived } else { Outcome::Missed }
        }
    }
}

/// Number of checkpoints of a run.
fn count(run: &Path) -> usize {
    let entries = std::fs::read_dir(run.join("checkpoints")).into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_name().to_string_lossy().starts_with("step-")).count()
}

fn newest_number(run: &Path) -> usize {
    newest(run).map_or(0, |path| kasmina_tests::undisturbed::step_of(&path) as usize)
}

/// Returns the folder of the checkpoint that is being written.
fn writing(run: &Path) -> Option<PathBuf> {
    let entries = std::fs::read_dir(run.join("checkpoints")).ok()?;
    let paths = entries.flatten().map(|entry| entry.path());
    paths.filter(|path| path.file_name().is_some_and(|n| n.to_string_lossy().starts_with(".writing-"))).max()
}
