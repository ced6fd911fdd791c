//! Signals that stop a run. After the first signal the run finishes its step and saves; the second signal
//! ends the process at once.

use crate::failure::Failure;
use kasmina_registry::services;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use signal_hook::iterator::Signals;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

/// The exit code of an interrupted run: 128 + SIGINT.
const INTERRUPTED: u8 = 130;
/// The exit code of a run that SIGTERM ended: 128 + SIGTERM.
const TERMINATED: u8 = 143;

/// Whether the run must stop before its next step.
pub(crate) static STOP: AtomicBool = AtomicBool::new(false);
/// Whether plugins are told that the run stops.
static CANCELS: AtomicBool = AtomicBool::new(true);
/// The first signal that was received; 0 if there was none.
static FIRST_SIGNAL: AtomicI32 = AtomicI32::new(0);

/// Starts a thread that handles SIGINT, SIGTERM, SIGHUP and SIGUSR1 (which Slurm can send before a time
/// limit). A signal that is ignored when the program starts stays ignored, so that `nohup kasmina train`
/// survives SIGHUP. `cancels` says whether plugins are told to end what they do.
pub(crate) fn listen(cancels: bool) -> Result<(), Failure> {
    CANCELS.store(cancels, Ordering::Relaxed);
    let ignored = ignored_signals();
    let handled = [SIGINT, SIGTERM, SIGHUP, SIGUSR1].into_iter().filter(|signal| !contains(ignored, *signal));
    let mut signals = Signals::new(handled).map_err(Failure::new)?;
    std::thread::Builder::new()
        .name("kasmina-signals".to_owned())
        .spawn(move || signals.forever().for_each(handle))
        .map_err(Failure::new)?;
    Ok(())
}

fn handle(signal: i32) {
    let first = FIRST_SIGNAL.compare_exchange(0, signal, Ordering::Relaxed, Ordering::Relaxed).is_ok();
    STOP.store(true, Ordering::Relaxed);
    if !first {
        // Exits without destructors, because threads of libraries may still be running.
        signal_hook::low_level::exit(code().into());
    }
    services::set_cancelled(CANCELS.load(Ordering::Relaxed));
    errln!("stopping after this step; once more to stop at once");
}

fn code() -> u8 {
    if FIRST_SIGNAL.load(Ordering::Relaxed) == SIGTERM { TERMINATED } else { INTERRUPTED }
}

/// Returns the exit code of an interrupted run: 0 if a signal interrupted it and `requeue` is set. A signal
/// to one of several ranks interrupts all.
pub(crate) fn exit_code(requeue: bool, several_ranks: bool) -> ExitCode {
    let signalled = several_ranks || FIRST_SIGNAL.load(Ordering::Relaxed) != 0;
    if requeue && signalled { ExitCode::SUCCESS } else { code().into() }
}

/// Returns the signals that this process ignores as a bit mask, from `/proc/self/status`.
fn ignored_signals() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

fn contains(mask: u64, signal: i32) -> bool {
    u32::try_from(signal - 1).is_ok_and(|bit| mask >> bit & 1 == 1)
}
