//! `kasmina launch`: starts a command on several ranks of this machine, for machines without `torchrun` or
//! Slurm.

use crate::failure::Failure;
use clap::Args;
use kasmina_ranks::{Server, World};
use rustix::process::{Pid, Signal, kill_process};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use std::ffi::OsString;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Time between two looks at the processes.
const PAUSE: Duration = Duration::from_millis(50);
/// Time in which the other ranks end by themselves after one has failed, so that they can say why: the
/// default limit of ranks, and the time to look for signs of life.
const BY_THEMSELVES: Duration = Duration::from_secs(75);
/// Time in which a process ends after it was asked to.
const GRACE: Duration = Duration::from_secs(10);

/// Arguments of `kasmina launch`.
#[derive(Debug, Args)]
pub(crate) struct LaunchArgs {
    /// Number of ranks.
    #[arg(long, value_name = "N")]
    ranks: std::num::NonZeroUsize,
    /// How often the ranks are started again after one has failed. A run with --out continues from its newest
    /// checkpoint.
    #[arg(long, value_name = "N", default_value_t = 0)]
    restarts: u32,
    /// The command of `kasmina` and its arguments, for example `train --out run`.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

pub(crate) fn run(args: &LaunchArgs) -> Result<ExitCode, Failure> {
    let server = Server::start().map_err(|e| Failure::new(&e).with_help(e.help()))?;
    let ended = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(&ended)).map_err(Failure::new)?;
    }
    for restart in 0..=args.restarts {
        let status = Attempt::start(args, server.port(), restart)?.wait(&ended)?;
        let Some((rank, status)) = status else { return Ok(ExitCode::SUCCESS) };
        let last = ended.load(Ordering::Relaxed) || restart == args.restarts;
        if last {
            errln!("rank {rank} has ended first ({status})");
            return Ok(code(status).into());
        }
        errln!(
            "rank {rank} has failed ({status}); starting the ranks again ({} of {})",
            restart + 1,
            args.restarts
        );
    }
    Ok(ExitCode::FAILURE)
}

/// The processes of one attempt.
struct Attempt {
    ranks: Vec<Child>,
}

impl Attempt {
    fn start(args: &LaunchArgs, port: u16, restart: u32) -> Result<Self, Failure> {
        let program = std::env::current_exe().map_err(Failure::new)?;
        let size = args.ranks.get();
        let mut attempt = Self { ranks: Vec::with_capacity(size) };
        for rank in 0..size {
            let child = Command::new(&program)
                .args(&args.command)
                .envs(World::variables_of_rank(rank, size, port, restart))
                .stdin(Stdio::null())
                // A signal from the terminal reaches this process only, which passes it on once.
                .process_group(0)
                .spawn();
            match child {
                Ok(child) => attempt.ranks.push(child),
                Err(error) => {
                    attempt.end();
                    return Err(Failure::new(format!("rank {rank} cannot be started: {error}")));
                }
            }
        }
        Ok(attempt)
    }

    /// Waits until all ranks have ended. Returns the first that has failed.
    fn wait(mut self, ended: &AtomicBool) -> Result<Option<(usize, ExitStatus)>, Failure> {
        let (mut failed, mut asked) = (None, None);
        loop {
            let mut running = false;
            for (rank, child) in self.ranks.iter_mut().enumerate() {
                match child.try_wait().map_err(Failure::new)? {
                    None => running = true,
                    Some(status) if !status.success() => {
                        failed.get_or_insert((rank, status, Instant::now()));
                    }
                    Some(_) => {}
                }
            }
            if !running {
                return Ok(failed.map(|(rank, status, _)| (rank, status)));
            }
            let late = failed.is_some_and(|(_, _, at)| at.elapsed() > BY_THEMSELVES);
            match asked {
                None if late || ended.load(Ordering::Relaxed) => {
                    self.signal(Signal::TERM);
                    asked = Some(Instant::now());
                }
                Some(at) if Instant::now() > at + GRACE => {
                    self.end();
                }
                _ => {}
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// Sends a signal to all processes that run.
    fn signal(&mut self, signal: Signal) {
        for child in &mut self.ranks {
            if matches!(child.try_wait(), Ok(None))
                && let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw)
            {
                let _ = kill_process(pid, signal);
            }
        }
    }

    /// Ends all processes at once.
    fn end(&mut self) {
        for child in &mut self.ranks {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Returns the exit code of a failed process, as a shell reports it.
fn code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}
