//! Foreign code is first run in a process of its own: whatever it does there, this one lives on.
//!
//! The parent starts a program (mostly itself) that calls [`serve`], and hands it jobs one by one as lines of
//! JSON. A job that crashes, does not end or asks for too much memory is told as an [`Outcome`]; the rest go
//! on in a fresh child.

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

/// What a line of the protocol begins with; a program may have printed others before it serves.
const MARK: &str = "\u{1}kasmina ";
/// How long a child may take to start: libtorch takes a third of a second, on a cold disk many of them.
const START: Duration = Duration::from_mins(2);
/// How long a child may take to end once it has closed its output, and to be cleared up after it was killed.
const PATIENCE: Duration = Duration::from_secs(1);
/// The longest line that is read of a child, in bytes: schemas of many entries, as JSON.
const LONGEST_LINE: u64 = 16 << 20;
/// The largest file that a child may write, in bytes; what it prints is one.
const MOST_WRITTEN: u64 = 256 << 20;
/// How much of a child's last words are kept.
const WORDS: usize = 4096;
const MEMORY: &str = "KASMINA_CHILD_MEMORY";

/// How a child is started: a program and arguments with which it calls [`serve`].
#[derive(Debug, Clone)]
pub struct Program {
    path: PathBuf,
    args: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    start: Duration,
}

impl Program {
    /// A program by its path.
    pub fn new(path: impl Into<PathBuf>, args: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        let args = args.into_iter().map(Into::into).collect();
        Self { path: path.into(), args, environment: Vec::new(), start: START }
    }
    /// This very program, also where its file has been replaced since it was started.
    pub fn this(args: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        Self::new("/proc/self/exe", args)
    }
    /// Sets how long it may take to begin to serve; two minutes by default.
    #[must_use]
    pub fn starting_within(mut self, time: Duration) -> Self {
        self.start = time;
        self
    }
    /// Sets a variable of its environment.
    #[must_use]
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }
}

/// What a job may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Until it must have answered.
    pub time: Duration,
    /// Bytes of address space of its process.
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
        /// What it wrote to standard output meanwhile.
        printed: String,
    },
    /// The process of the child ended before it answered.
    Crashed {
        /// Description of its end: exit code or signal.
        how: String,
        /// The end of what it wrote to standard error.
        said: String,
    },
    /// It did not answer in time, and its process was ended.
    TimedOut {
        /// Time limit that was exceeded.
        after: Duration,
    },
}

/// Runs jobs one after another in as few children as they leave alive; `told` hears of each job before and
/// after it, before with `None`.
///
/// # Errors
/// If a child cannot be started, or ends before it has begun to serve.
pub fn run(
    program: &Program,
    jobs: &[Value],
    limits: Limits,
    told: &mut dyn FnMut(usize, Option<Outcome>),
) -> std::io::Result<()> {
    let mut next = 0;
    while next < jobs.len() {
        let mut child = Running::start(program, limits)?;
        let mut alive = true;
        while alive && next < jobs.len() {
            told(next, None);
            let outcome = child.ask(&jobs[next], limits.time);
            alive = matches!(outcome, Outcome::Answered { .. });
            told(next, Some(outcome));
            next += 1;
        }
    }
    Ok(())
}

/// A line from the child.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Ready,
    Answer { answer: Value, printed: String },
}

struct Running {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<Line>,
    said: Receiver<String>,
}

impl Running {
    fn start(program: &Program, limits: Limits) -> std::io::Result<Self> {
        let mut command = Command::new(&program.path);
        // Names the program in `ps`, and lets it find what lies beside it.
        if let Ok(exe) = std::env::current_exe().map(PathBuf::into_os_string)
            && program.path.starts_with("/proc/self")
        {
            command.arg0(exe);
        }
        command.args(&program.args).envs(program.environment.iter().cloned());
        command.env(MEMORY, limits.memory.to_string()).env("OMP_NUM_THREADS", "1").env("RUST_BACKTRACE", "0");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // A group of its own, so that what it starts itself can be ended with it.
        command.process_group(0);
        let mut child = command.spawn()?;
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());

        // A child that writes more answers than it was asked for has to wait.
        let (to_lines, lines) = sync_channel(1);
        let (to_said, said) = channel();
        // From here on dropping `running` kills the child, so every early return does.
        let mut running = Self { child, stdin, lines, said };
        if let Some(stdout) = stdout {
            start_reader("child-answers", move || forward_lines(stdout, &to_lines))?;
        }
        if let Some(stderr) = stderr {
            start_reader("child-errors", move || {
                let _ = to_said.send(tail(stderr));
            })?;
        }

        match running.lines.recv_timeout(program.start) {
            Ok(Line::Ready) => Ok(running),
            Ok(Line::Answer { .. }) | Err(RecvTimeoutError::Timeout) => {
                Err(std::io::Error::other("it does not begin to serve"))
            }
            Err(RecvTimeoutError::Disconnected) => {
                let (how, said) = running.end();
                let said = if said.is_empty() { "nothing".to_owned() } else { said };
                Err(std::io::Error::other(format!(
                    "it ended before it began to serve: {how}; it said: {said}"
                )))
            }
        }
    }

    fn ask(&mut self, job: &Value, time: Duration) -> Outcome {
        let sent = self.stdin.as_mut().is_some_and(|stdin| writeln!(stdin, "{job}").is_ok());
        let answer = if sent { self.lines.recv_timeout(time) } else { Err(RecvTimeoutError::Disconnected) };
        match answer {
            Ok(Line::Answer { answer, printed }) => Outcome::Answered { answer, printed },
            Err(RecvTimeoutError::Timeout) => Outcome::TimedOut { after: time },
            // A second "ready" is an answer to nothing: whatever wrote it does not follow the protocol.
            Ok(Line::Ready) | Err(RecvTimeoutError::Disconnected) => {
                let (how, said) = self.end();
                Outcome::Crashed { how, said }
            }
        }
    }

    /// The exit status and last error output of a child that has closed its output. A child that still runs
    /// is killed.
    fn end(&mut self) -> (String, String) {
        self.stdin = None;
        let how = match self.wait(PATIENCE) {
            Ok(Some(status)) => in_words(status),
            Ok(None) => {
                self.kill();
                "it closed its output and went on; it was ended".to_owned()
            }
            Err(error) => error.to_string(),
        };
        // A grandchild may hold standard error open.
        self.kill();
        let said = self.said.recv_timeout(PATIENCE).unwrap_or_default();
        (how, said)
    }

    /// Waits for the child's end, but not longer than that.
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

    /// Ends the child with everything that it has started in its group.
    fn kill(&mut self) {
        let group = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw);
        if let Some(group) = group {
            let _ = rustix::process::kill_process_group(group, Signal::KILL);
        }
        let _ = self.child.kill();
        // SIGKILL cannot be ignored: the child ends as soon as the kernel has freed what it held.
        let _ = self.wait(PATIENCE);
    }
}

impl Drop for Running {
    /// A child that still runs has answered everything, or will never answer; it has nothing to save.
    fn drop(&mut self) {
        self.kill();
    }
}

/// A thread that may fail to start.
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
        let Some((_, json)) = text.split_once(MARK) else { continue };
        let Ok(line) = serde_json::from_str(json) else { continue };
        if lines.send(line).is_err() {
            return;
        }
    }
}

/// The end of a stream, read to its end.
fn tail(mut stream: impl Read) -> String {
    let (mut kept, mut buffer) = (Vec::new(), [0; 4096]);
    while let Ok(n @ 1..) = stream.read(&mut buffer) {
        kept.extend_from_slice(&buffer[..n]);
        let excess = kept.len().saturating_sub(WORDS);
        kept.drain(..excess);
    }
    String::from_utf8_lossy(&kept).trim().to_owned()
}

fn in_words(status: ExitStatus) -> String {
    let Some(number) = status.signal() else {
        return match status.code() {
            Some(0) => "it ended the process as if all were well".to_owned(),
            code => format!("it ended the process with code {}", code.unwrap_or_default()),
        };
    };
    let name = match Signal::from_named_raw(number) {
        Some(Signal::SEGV) => "SIGSEGV, memory that is not its own",
        Some(Signal::BUS) => "SIGBUS, memory that is not there",
        Some(Signal::ABORT) => "SIGABRT, an abort",
        Some(Signal::ILL) => "SIGILL, an instruction that this processor does not know",
        Some(Signal::FPE) => "SIGFPE, an impossible calculation",
        Some(Signal::KILL) => "SIGKILL, perhaps for lack of memory",
        _ => return format!("signal {number} ended the process"),
    };
    format!("signal {number} ended the process ({name})")
}

/// The child's side: answers each job until there are no more. Call it before anything else is done; standard
/// input and output belong to the parent from then on, and what is printed meanwhile is caught.
pub fn serve(mut answer: impl FnMut(Value) -> Value) -> ExitCode {
    match serve_all(&mut answer) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Standard error is the parent's to read: this is the reason that it gives.
            let _ = writeln!(std::io::stderr(), "the child cannot serve: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve_all(answer: &mut dyn FnMut(Value) -> Value) -> std::io::Result<()> {
    let _ = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    // What is printed is caught in memory; a file that it writes is none of its business either.
    let _ = setrlimit(Resource::Fsize, Rlimit { current: Some(MOST_WRITTEN), maximum: Some(MOST_WRITTEN) });
    let memory: Option<u64> = std::env::var(MEMORY).ok().and_then(|bytes| bytes.parse().ok());
    if let Some(wanted) = memory {
        // Nobody may ask for more than a limit that is set already.
        let hard = getrlimit(Resource::As).maximum.unwrap_or(u64::MAX);
        let limit = Some(wanted.min(hard));
        setrlimit(Resource::As, Rlimit { current: limit, maximum: limit })?;
    }
    // The parent's channels move away from where a plugin might read or print.
    let mut jobs = BufReader::new(File::from(rustix::io::fcntl_dupfd_cloexec(std::io::stdin(), 3)?));
    let mut parent = File::from(rustix::io::fcntl_dupfd_cloexec(std::io::stdout(), 3)?);
    let mut printed = File::from(rustix::fs::memfd_create("kasmina-printed", MemfdFlags::CLOEXEC)?);
    rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
    rustix::stdio::dup2_stdout(&printed)?;

    let mut say = |line: &Line| writeln!(parent, "{MARK}{}", serde_json::to_string(line)?);
    say(&Line::Ready)?;
    let mut job = String::new();
    while jobs.read_line(&mut job)? > 0 {
        let answer = answer(serde_json::from_str(&job)?);
        say(&Line::Answer { answer, printed: take(&mut printed)? })?;
        job.clear();
    }
    Ok(())
}

/// What was printed since the last time.
fn take(printed: &mut File) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    printed.seek(SeekFrom::Start(0))?;
    Read::take(&mut *printed, WORDS as u64).read_to_end(&mut bytes)?;
    printed.set_len(0)?;
    printed.seek(SeekFrom::Start(0))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
