//! Runs untrusted or untested code in child processes, so that a crash does not end this process.
//!
//! The parent starts a program (mostly itself) that calls [`serve`], and sends it jobs one by one as lines of
//! JSON. A job that crashes, does not end or allocates too much memory is reported as an [`Outcome`]; the
//! other jobs continue in a new child.

use rustix::fs::MemfdFlags;
use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::ffi::OsString;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, ExitCode, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, channel, sync_channel};
use std::time::{Duration, Instant};

/// Prefix of every line of the protocol. A program may print other lines before it serves.
const LINE_PREFIX: &str = "\u{1}kasmina ";
/// Time limit for starting a child. Loading libtorch takes a third of a second, but much longer from a cold
/// disk.
const START_TIMEOUT: Duration = Duration::from_mins(2);
/// Time limit for a child to exit once it has closed its output, and for the kernel to remove a killed child.
const END_TIMEOUT: Duration = Duration::from_secs(1);
/// Longest line that is read from a child, in bytes. The longest answers are schemas of many entries.
const LONGEST_LINE: u64 = 16 << 20;
/// Largest file that a child may write, in bytes. Its standard output is written into such a file.
const LARGEST_FILE: u64 = 256 << 20;
/// Number of bytes that are kept of a child's standard output and standard error.
const KEPT_OUTPUT: usize = 4096;
/// Environment variable with the memory limit of a child in bytes.
const MEMORY_VARIABLE: &str = "KASMINA_CHILD_MEMORY";

/// How a child is started: a program, and arguments with which it calls [`serve`].
#[derive(Debug, Clone)]
pub struct Program {
    path: PathBuf,
    args: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    start: Duration,
}

impl Program {
    /// Returns a program by its path, with its arguments.
    pub fn new(path: impl Into<PathBuf>, args: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        let args = args.into_iter().map(Into::into).collect();
        Self { path: path.into(), args, environment: Vec::new(), start: START_TIMEOUT }
    }
    /// Returns the program of this process, even if its file has been replaced since it was started.
    pub fn this(args: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        Self::new("/proc/self/exe", args)
    }
    /// Sets the time limit for the program to start serving. The default is two minutes.
    #[must_use]
    pub fn starting_within(mut self, time: Duration) -> Self {
        self.start = time;
        self
    }
    /// Sets an environment variable of the child.
    #[must_use]
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }
}

/// Limits of a job.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Time until the job must have been answered.
    pub time: Duration,
    /// Address space of the child in bytes.
    pub memory: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { time: Duration::from_secs(20), memory: 8 << 30 }
    }
}

/// How a job of a child process ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// The child answered.
    Answered {
        /// The answer.
        answer: Value,
        /// What the job wrote to standard output.
        printed: String,
    },
    /// The child ended before it answered.
    Crashed {
        /// Description of how the child ended: exit code or signal.
        how: String,
        /// The last part of the child's standard error.
        said: String,
    },
    /// The child did not answer in time, and was killed.
    TimedOut {
        /// Time limit that was exceeded.
        after: Duration,
    },
}

/// Runs jobs one after another. A new child is started only if the previous one has ended. `report` is called
/// with the index of each job before it (with `None`) and after it.
///
/// # Errors
/// If a child cannot be started, or ends before it is ready.
pub fn run(
    program: &Program,
    jobs: &[Value],
    limits: Limits,
    report: &mut dyn FnMut(usize, Option<Outcome>),
) -> std::io::Result<()> {
    let mut next = 0;
    while next < jobs.len() {
        let mut child = ChildProcess::start(program, limits)?;
        let mut alive = true;
        while alive && next < jobs.len() {
            report(next, None);
            let outcome = child.run_job(&jobs[next], limits.time);
            alive = matches!(outcome, Outcome::Answered { .. });
            report(next, Some(outcome));
            next += 1;
        }
    }
    Ok(())
}

/// A line of the protocol, from the child to the parent.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Ready,
    Answer { answer: Value, printed: String },
}

/// A running child, which is killed when this value is dropped.
struct ChildProcess {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<Line>,
    /// Receives the last part of the child's standard error once that is closed.
    stderr_tail: Receiver<String>,
}

impl ChildProcess {
    fn start(program: &Program, limits: Limits) -> std::io::Result<Self> {
        let mut command = Command::new(&program.path);
        // Gives the child its usual name in `ps`, and the path by which it finds files beside it.
        if let Ok(exe) = std::env::current_exe().map(PathBuf::into_os_string)
            && program.path.starts_with("/proc/self")
        {
            command.arg0(exe);
        }
        command.args(&program.args).envs(program.environment.iter().cloned());
        command
            .env(MEMORY_VARIABLE, limits.memory.to_string())
            .env("OMP_NUM_THREADS", "1")
            .env("RUST_BACKTRACE", "0");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // A process group of its own, so that the child's own children can be killed too.
        command.process_group(0);
        let mut child = command.spawn()?;
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());

        // A child that writes more answers than there are jobs is blocked.
        let (to_lines, lines) = sync_channel(1);
        let (to_stderr_tail, stderr_tail) = channel();
        // Dropping `running` kills the child, so every early return does too.
        let mut running = Self { child, stdin, lines, stderr_tail };
        if let Some(stdout) = stdout {
            start_reader("child-answers", move || forward_lines(stdout, &to_lines))?;
        }
        if let Some(stderr) = stderr {
            start_reader("child-errors", move || {
                let _ = to_stderr_tail.send(tail(stderr));
            })?;
        }

        match running.lines.recv_timeout(program.start) {
            Ok(Line::Ready) => Ok(running),
            Ok(Line::Answer { .. }) | Err(RecvTimeoutError::Timeout) => {
                Err(std::io::Error::other("it did not become ready"))
            }
            Err(RecvTimeoutError::Disconnected) => {
                let (how, said) = running.end();
                let said = if said.is_empty() { "empty".to_owned() } else { said };
                Err(std::io::Error::other(format!(
                    "it ended before it was ready: {how}; standard error: {said}"
                )))
            }
        }
    }

    fn run_job(&mut self, job: &Value, time: Duration) -> Outcome {
        let sent = self.stdin.as_mut().is_some_and(|stdin| writeln!(stdin, "{job}").is_ok());
        let answer = if sent { self.lines.recv_timeout(time) } else { Err(RecvTimeoutError::Disconnected) };
        match answer {
            Ok(Line::Answer { answer, printed }) => Outcome::Answered { answer, printed },
            Err(RecvTimeoutError::Timeout) => Outcome::TimedOut { after: time },
            // A second "ready" violates the protocol.
            Ok(Line::Ready) | Err(RecvTimeoutError::Disconnected) => {
                let (how, said) = self.end();
                Outcome::Crashed { how, said }
            }
        }
    }

    /// Returns how a child ended that has closed its output, and the last part of its standard error. A child
    /// that still runs is killed.
    fn end(&mut self) -> (String, String) {
        self.stdin = None;
        let how = match self.wait(END_TIMEOUT) {
            Ok(Some(status)) => describe_exit(status),
            Ok(None) => {
                self.kill();
                "it closed its output without exiting, and was killed".to_owned()
            }
            Err(error) => error.to_string(),
        };
        // A grandchild may hold standard error open.
        self.kill();
        let said = self.stderr_tail.recv_timeout(END_TIMEOUT).unwrap_or_default();
        (how, said)
    }

    /// Waits for the child to exit. Returns `None` if it still runs after this time.
    fn wait(&mut self, time: Duration) -> std::io::Result<Option<ExitStatus>> {
        let begun = Instant::now();
        loop {
            let status = self.child.try_wait()?;
            if status.is_some() || begun.elapsed() >= time {
                return Ok(status);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Kills the child and all processes in its group.
    fn kill(&mut self) {
        let group = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw);
        if let Some(group) = group {
            let _ = rustix::process::kill_process_group(group, Signal::KILL);
        }
        let _ = self.child.kill();
        // SIGKILL cannot be ignored, but the child exits only when the kernel has freed its resources.
        let _ = self.wait(END_TIMEOUT);
    }
}

impl Drop for ChildProcess {
    /// Kills the child. It has answered every job or will not answer, and has nothing to save.
    fn drop(&mut self) {
        self.kill();
    }
}

/// Starts a thread. Unlike `std::thread::spawn`, it does not panic if the thread cannot be started.
fn start_reader(name: &str, body: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
    std::thread::Builder::new().name(name.to_owned()).spawn(body).map(drop)
}

/// Forwards the lines of the protocol until the stream ends or a line is too long.
fn forward_lines(stdout: impl Read, lines: &SyncSender<Line>) {
    let mut stdout = BufReader::new(stdout);
    let mut line = Vec::new();
    loop {
        line.clear();
        match Read::take(&mut stdout, LONGEST_LINE).read_until(b'\n', &mut line) {
            Ok(1..) if line.ends_with(b"\n") => {}
            _ => return,
        }
        let text = String::from_utf8_lossy(&line);
        let Some((_, json)) = text.split_once(LINE_PREFIX) else { continue };
        let Ok(line) = serde_json::from_str(json) else { continue };
        if lines.send(line).is_err() {
            return;
        }
    }
}

/// Reads a stream to its end, and returns its last part.
fn tail(mut stream: impl Read) -> String {
    let (mut kept, mut buffer) = (Vec::new(), [0; 4096]);
    while let Ok(n @ 1..) = stream.read(&mut buffer) {
        kept.extend_from_slice(&buffer[..n]);
        let excess = kept.len().saturating_sub(KEPT_OUTPUT);
        kept.drain(..excess);
    }
    String::from_utf8_lossy(&kept).trim().to_owned()
}

fn describe_exit(status: ExitStatus) -> String {
    let Some(number) = status.signal() else {
        return match status.code() {
            Some(0) => "it ended the process with code 0".to_owned(),
            code => format!("it ended the process with code {}", code.unwrap_or_default()),
        };
    };
    let name = match Signal::from_named_raw(number) {
        Some(Signal::SEGV) => "SIGSEGV, invalid memory access",
        Some(Signal::BUS) => "SIGBUS, access to memory that does not exist",
        Some(Signal::ABORT) => "SIGABRT, aborted",
        Some(Signal::ILL) => "SIGILL, illegal instruction",
        Some(Signal::FPE) => "SIGFPE, arithmetic error",
        Some(Signal::KILL) => "SIGKILL, possibly out of memory",
        _ => return format!("signal {number} ended the process"),
    };
    format!("signal {number} ended the process ({name})")
}

/// Answers jobs of the parent until there are no more. Call this first in the child: it takes over standard
/// input and output for the protocol, and captures what jobs print.
pub fn serve(mut answer: impl FnMut(Value) -> Value) -> ExitCode {
    match serve_all(&mut answer) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The parent reads standard error, and reports this as the reason.
            let _ = writeln!(std::io::stderr(), "the child cannot serve: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve_all(answer: &mut dyn FnMut(Value) -> Value) -> std::io::Result<()> {
    let _ = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    // Standard output is captured in memory, so its size must be limited.
    let _ = setrlimit(Resource::Fsize, Rlimit { current: Some(LARGEST_FILE), maximum: Some(LARGEST_FILE) });
    let memory: Option<u64> = std::env::var(MEMORY_VARIABLE).ok().and_then(|bytes| bytes.parse().ok());
    if let Some(wanted) = memory {
        // A process cannot raise its limit above the hard limit.
        let hard = getrlimit(Resource::As).maximum.unwrap_or(u64::MAX);
        let limit = Some(wanted.min(hard));
        setrlimit(Resource::As, Rlimit { current: limit, maximum: limit })?;
    }
    // The pipes of the parent get other descriptors, so that a plugin cannot read or print there.
    let mut jobs = BufReader::new(File::from(rustix::io::fcntl_dupfd_cloexec(std::io::stdin(), 3)?));
    let mut parent = File::from(rustix::io::fcntl_dupfd_cloexec(std::io::stdout(), 3)?);
    let mut printed = File::from(rustix::fs::memfd_create("kasmina-printed", MemfdFlags::CLOEXEC)?);
    rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
    rustix::stdio::dup2_stdout(&printed)?;

    let mut send = |line: &Line| writeln!(parent, "{LINE_PREFIX}{}", serde_json::to_string(line)?);
    send(&Line::Ready)?;
    let mut job = String::new();
    while jobs.read_line(&mut job)? > 0 {
        let answer = answer(serde_json::from_str(&job)?);
        send(&Line::Answer { answer, printed: take_printed(&mut printed)? })?;
        job.clear();
    }
    Ok(())
}

/// Returns what was printed since the last call.
fn take_printed(printed: &mut File) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    printed.seek(SeekFrom::Start(0))?;
    Read::take(&mut *printed, KEPT_OUTPUT as u64).read_to_end(&mut bytes)?;
    printed.set_len(0)?;
    printed.seek(SeekFrom::Start(0))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
