//! Signals that end a run: the first lets it finish its step and save, the second ends the process at once.

use crate::failure::Failure;
use kasmina_registry::services;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use signal_hook::iterator::Signals;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

/// The exit code of a run that was interrupted, as shells have it.
const INTERRUPTED: u8 = 130;
/// The exit code of a run that SIGTERM ended, as shells have it.
const TERMINATED: u8 = 143;

/// Whether the run is to end before its next step.
pub(crate) static STOP: AtomicBool = AtomicBool::new(false);
/// The first signal that came; 0 if none has.
static CAME: AtomicI32 = AtomicI32::new(0);

/// Listens from now on to SIGINT, SIGTERM, SIGHUP and SIGUSR1, which Slurm sends before a time limit. A
/// signal that is ignored when the program starts stays ignored: `nohup kasmina train` runs on after SIGHUP.
pub(crate) fn listen() -> Result<(), Failure> {
    let ignored = ignored();
    let wanted = [SIGINT, SIGTERM, SIGHUP, SIGUSR1].into_iter().filter(|signal| !is_in(ignored, *signal));
    let mut signals = Signals::new(wanted).map_err(Failure::new)?;
    std::thread::Builder::new()
        .name("kasmina-signals".to_owned())
        .spawn(move || signals.forever().for_each(note))
        .map_err(Failure::new)?;
    Ok(())
}

fn note(signal: i32) {
    let first = CAME.compare_exchange(0, signal, Ordering::Relaxed, Ordering::Relaxed).is_ok();
    STOP.store(true, Ordering::Relaxed);
    if !first {
        // Exits without destructors: threads of libraries may still run.
        signal_hook::low_level::exit(code().into());
    }
    services::set_cancelled(true);
    errln!("stopping after this step; once more to stop at once");
}

fn code() -> u8 {
    if CAME.load(Ordering::Relaxed) == SIGTERM { TERMINATED } else { INTERRUPTED }
}

/// The exit code of an interrupted run.
pub(crate) fn exit_code(requeue: bool) -> ExitCode {
    let signalled = CAME.load(Ordering::Relaxed) != 0;
    if requeue && signalled { ExitCode::SUCCESS } else { code().into() }
}

/// The signals that this process ignores, a bit each, as the system tells it.
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

fn is_in(mask: u64, signal: i32) -> bool {
    u32::try_from(signal - 1).is_ok_and(|bit| mask >> bit & 1 == 1)
}
