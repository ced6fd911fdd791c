//! PyTorch's side: `peer.py` under a Python that has torch.

use crate::many::MODELS;
use crate::setting::Setting;
use crate::stopwatch::Row;
use anyhow::{Context as _, Result, bail};
use serde::Deserialize;
use std::process::{Command, Stdio};

const SCRIPT: &str = include_str!("../peer.py");

/// A Python to compare with, if it has torch.
pub(crate) struct Python {
    program: Option<String>,
    compile: bool,
    fastest: bool,
    rounds: usize,
    steps: (u32, u32),
}

/// A line of the script.
#[derive(Deserialize)]
struct Line {
    net: String,
    mode: String,
    us: Vec<f64>,
}

impl Python {
    pub(crate) fn find(program: &str, compile: bool, fastest: bool, rounds: usize, quick: bool) -> Self {
        let asked = Command::new(program)
            .args(["-c", "import torch; print(torch.__version__)"])
            .stderr(Stdio::null())
            .output();
        let version = asked.ok().filter(|out| out.status.success()).map(|out| out.stdout);
        match &version {
            Some(version) => {
                eprintln!("beside PyTorch {}", String::from_utf8_lossy(version).trim());
            }
            None => eprintln!("`{program}` has no torch: nothing is compared with PyTorch"),
        }
        let steps = if quick { (2, 2) } else { (40, 6) };
        Self { program: version.map(|_| program.to_owned()), compile, fastest, rounds, steps }
    }

    /// The same networks in the same setting, eager and compiled.
    pub(crate) fn steps(&self, setting: Setting) -> Result<Vec<Row>> {
        let batch = setting.batch.to_string();
        let mut args = vec!["--batch", &batch, "--precision", setting.precision.as_str()];
        // Compiling for a CPU asks for a C++ compiler of Python's liking; it is not what is compared here.
        if self.compile && setting.device.is_cuda() {
            // With CUDA graphs of its own: PyTorch at its best.
            args.extend(["--modes", "eager,compile", "--compile-mode", "reduce-overhead"]);
        }
        let name = |line: &Line| format!("{} {}", setting.name(), net(&line.net));
        let lines = self.run(setting, &args)?;
        Ok(lines
            .into_iter()
            .map(|line| Row { name: name(&line), side: format!("pytorch {}", line.mode), us: line.us })
            .collect())
    }

    /// A host that ships, alone, eager and compiled.
    pub(crate) fn host(&self, setting: Setting, host: &str) -> Result<Vec<Row>> {
        let batch = setting.batch.to_string();
        let mut args = vec!["--batch", &batch, "--precision", setting.precision.as_str(), "--nets", host];
        if self.compile && setting.device.is_cuda() {
            args.extend(["--modes", "eager,compile", "--compile-mode", "reduce-overhead"]);
        }
        let name = || format!("{} {host} alone", setting.name());
        let row = |line: Line| Row { name: name(), side: format!("pytorch {}", line.mode), us: line.us };
        Ok(self.run(setting, &args)?.into_iter().map(row).collect())
    }

    /// The small models, in turn and on threads.
    pub(crate) fn many(&self, setting: Setting) -> Result<Vec<Row>> {
        let models = MODELS.to_string();
        let lines =
            self.run(setting, &["--many", &models, "--batch", "32", "--base", "8", "--nets", "blending"])?;
        let name = || format!("cuda {MODELS} small models");
        let row =
            |line: Line| Row { name: name(), side: format!("pytorch eager, {}", line.mode), us: line.us };
        Ok(lines.into_iter().map(row).collect())
    }

    fn run(&self, setting: Setting, args: &[&str]) -> Result<Vec<Line>> {
        let Some(program) = &self.program else { return Ok(Vec::new()) };
        let gpu = setting.device.is_cuda();
        let steps = if gpu { self.steps.0 } else { self.steps.1 };
        let mut command = Command::new(program);
        command.args(["-c", SCRIPT, "--device", if gpu { "cuda" } else { "cpu" }]).args(args);
        command.args(["--rounds", &self.rounds.to_string(), "--steps", &steps.to_string()]);
        command.args(["--warm-up", &(steps / 2).max(2).to_string()]);
        if !gpu {
            command.args(["--threads", "1"]);
        }
        if self.fastest {
            command.arg("--cudnn-benchmark");
        }
        // What this process is told about libraries is not meant for Python.
        let out = command
            .env_remove("LD_LIBRARY_PATH")
            .stderr(Stdio::piped())
            .output()
            .context("starting Python")?;
        if !out.status.success() {
            bail!("the PyTorch side failed:\n{}", String::from_utf8_lossy(&out.stderr));
        }
        let text = String::from_utf8(out.stdout)?;
        text.lines()
            .filter(|line| line.starts_with('{'))
            .map(|line| serde_json::from_str(line).with_context(|| format!("reading `{line}`")))
            .collect()
    }
}

/// The script's word for a network, as this program says it.
fn net(word: &str) -> String {
    if word == "alone" { word.to_owned() } else { format!("3 {word}") }
}
