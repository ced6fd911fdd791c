//! A Python with PyTorch, which is started at the first question of this process and answers all of them,
//! because the import of PyTorch takes seconds.

use crate::failure::{Failure, broken};
use serde::Deserialize;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Seek as _, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, PoisonError};

/// The script that imports PyTorch and compares.
const SCRIPT: &str = include_str!("pytorch.py");
/// Environment variable with the Python interpreter; `python3` by default.
const PYTHON: &str = "KASMINA_PYTHON";

/// Result of one comparison: an error, or the largest difference relative to the largest output.
#[derive(Deserialize)]
pub(super) struct Answer {
    pub(super) error: Option<String>,
    pub(super) difference: Option<f64>,
}

/// A line that the script prints.
#[derive(Deserialize)]
struct Line {
    /// Whether Python has no PyTorch.
    #[serde(default)]
    missing: bool,
    /// Exit code of the process that was to answer, or the negative number of its signal; `None` if it has
    /// answered.
    ended: Option<i32>,
    /// One answer for each job.
    #[serde(default)]
    answers: Vec<Answer>,
}

/// The running interpreter. It ends when this process does, because its input ends.
struct Interpreter {
    child: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
    /// What it writes to standard error.
    said: File,
}

static INTERPRETER: Mutex<Option<Interpreter>> = Mutex::new(None);

/// Compares the jobs in a folder.
pub(super) fn ask(folder: &Path) -> Result<Vec<Answer>, Failure> {
    let mut running = INTERPRETER.lock().unwrap_or_else(PoisonError::into_inner);
    let python = match &mut *running {
        Some(python) => python,
        None => running.insert(Interpreter::start()?),
    };
    match python.ask(folder) {
        Ok(Line { ended: None, answers, .. }) => Ok(answers),
        Ok(Line { ended: Some(code), .. }) => {
            let how = if code < 0 { format!("signal {}", -code) } else { format!("exit code {code}") };
            let said = python.last_said();
            let said = if said.is_empty() { said } else { format!(": {said}") };
            broken(format!("its PyTorch source ends Python with {how}{said}"))
        }
        Err(failure) => {
            *running = None;
            Err(failure)
        }
    }
}

impl Interpreter {
    /// Starts the interpreter and waits until it has imported PyTorch.
    fn start() -> Result<Self, Failure> {
        let python = std::env::var_os(PYTHON).unwrap_or_else(|| "python3".into());
        // Python imports from its working directory, which may be the folder of somebody else's project.
        let empty = tempfile::tempdir()?;
        let said = tempfile::tempfile()?;
        let mut command = Command::new(&python);
        // Python has a libtorch of its own and must not load the one of this process.
        command.env_remove("LD_LIBRARY_PATH").args(["-W", "ignore", "-c", SCRIPT]);
        command.current_dir(&empty).env("PYTHONSAFEPATH", "1");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(said.try_clone()?);
        let Ok(mut child) = command.spawn() else {
            let python = python.to_string_lossy();
            return Err(Failure::NotApplicable(format!(
                "there is no `{python}`; {PYTHON} names another Python"
            )));
        };
        let (Some(questions), Some(answers)) = (child.stdin.take(), child.stdout.take()) else {
            return broken("Python was started without pipes".to_owned());
        };
        let mut started = Self { child, questions, answers: BufReader::new(answers), said };
        if started.read()?.missing {
            return Err(Failure::NotApplicable(format!(
                "python3 has no PyTorch; {PYTHON} names another one"
            )));
        }
        Ok(started)
    }

    fn ask(&mut self, folder: &Path) -> Result<Line, Failure> {
        let question = serde_json::Value::from(folder.to_string_lossy()).to_string();
        // If it has ended, reading says so.
        let _ = writeln!(self.questions, "{question}").and_then(|()| self.questions.flush());
        self.read()
    }

    fn read(&mut self) -> Result<Line, Failure> {
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        serde_json::from_str(&line).or_else(|_| {
            let _ = self.child.kill();
            let status = self.child.wait()?;
            broken(format!("Python ended with {status}: {}", self.last_said()))
        })
    }

    /// Returns the last line that it has written to standard error.
    fn last_said(&mut self) -> String {
        let mut bytes = Vec::new();
        let read = self.said.rewind().and_then(|()| self.said.read_to_end(&mut bytes));
        let text = String::from_utf8_lossy(&bytes);
        read.map(|_| text.lines().last().unwrap_or_default().to_owned()).unwrap_or_default()
    }
}
