//! The side `pytorch` of the comparisons: runs `peer.py` with a Python that has PyTorch.

use crate::many::MODELS;
use crate::setting::Setting;
use crate::stopwatch::Row;
use crate::{exported, generate};
use anyhow::{Context as _, Result, bail};
use serde::Deserialize;
use std::path::Path;
use std::process::{Command, Stdio};
use tch::Device;

const SCRIPT: &str = include_str!("../peer.py");
const GENERATE: &str = include_str!("../generate.py");
const EXPORTED: &str = include_str!("../exported.py");

/// A Python interpreter whose PyTorch is compared.
pub(crate) struct Python {
    /// Path of the interpreter; `None` if it has no PyTorch, and then nothing is measured.
    program: Option<String>,
    /// Whether `torch.compile` is measured too.
    compile: bool,
    /// Whether cuDNN tries all algorithms and uses the fastest.
    fastest: bool,
    rounds: usize,
    /// Steps per round, on the GPU and on the CPU.
    steps: (u32, u32),
}

/// A line of the script's output.
#[derive(Deserialize)]
struct Line {
    net: String,
    mode: String,
    /// Microseconds per step, one value per round.
    us: Vec<f64>,
}

impl Python {
    /// Checks whether the interpreter has PyTorch, and prints its version.
    pub(crate) fn find(program: &str, compile: bool, fastest: bool, rounds: usize, quick: bool) -> Self {
        let output = Command::new(program)
            .args(["-c", "import torch; print(torch.__version__)"])
            .stderr(Stdio::null())
            .output();
        let version = output.ok().filter(|out| out.status.success()).map(|out| out.stdout);
        match &version {
            Some(version) => {
                eprintln!("comparing with PyTorch {}", String::from_utf8_lossy(version).trim());
            }
            None => eprintln!("`{program}` has no torch: the comparison with PyTorch is skipped"),
        }
        let steps = if quick { (2, 2) } else { (40, 6) };
        Self { program: version.map(|_| program.to_owned()), compile, fastest, rounds, steps }
    }

    /// Measures the networks of [`crate::whole`] in a setting, eager and compiled.
    pub(crate) fn steps(&self, setting: Setting) -> Result<Vec<Row>> {
        let batch = setting.batch.to_string();
        let mut args = vec!["--batch", &batch, "--precision", setting.precision.as_str()];
        // Compiling for the CPU is not compared: it needs a C++ compiler that suits Python.
        if self.compile && setting.device.is_cuda() {
            // This mode uses CUDA graphs, as captured steps do.
            args.extend(["--modes", "eager,compile", "--compile-mode", "reduce-overhead"]);
        }
        let name = |line: &Line| format!("{} {}", setting.name(), net(&line.net));
        let lines = self.run(setting, &args)?;
        Ok(lines
            .into_iter()
            .map(|line| Row { name: name(&line), side: format!("pytorch {}", line.mode), us: line.us })
            .collect())
    }

    /// Measures a shipped host alone, eager and compiled.
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

    /// Measures many small models, in turn and on threads.
    pub(crate) fn many(&self, setting: Setting) -> Result<Vec<Row>> {
        let models = MODELS.to_string();
        let lines =
            self.run(setting, &["--many", &models, "--batch", "32", "--base", "8", "--nets", "blending"])?;
        let name = || format!("cuda {MODELS} small models");
        let row =
            |line: Line| Row { name: name(), side: format!("pytorch eager, {}", line.mode), us: line.us };
        Ok(lines.into_iter().map(row).collect())
    }

    /// Measures the generation of GPT-2 in transformers.
    pub(crate) fn generate(&self, device: Device) -> Result<Vec<Row>> {
        let Some(program) = &self.program else { return Ok(Vec::new()) };
        let mut command = Command::new(program);
        command.args(["-c", GENERATE, "--device", if device.is_cuda() { "cuda" } else { "cpu" }]);
        command.args(["--rounds", &self.rounds.to_string(), "--prompt", &generate::PROMPT.to_string()]);
        command.args(["--tokens", &generate::TOKENS.to_string(), "--batches"]);
        command.args(generate::BATCHES.map(|batch| batch.to_string()));
        let names = generate::BATCHES.map(|batch| generate::name(device, batch));
        let row = |(line, name): (Line, String)| Row {
            name,
            side: format!("transformers {}", line.mode),
            us: line.us,
        };
        Ok(lines_of(command)?.into_iter().zip(names).map(row).collect())
    }

    /// Measures exported networks beside the same network written by hand.
    pub(crate) fn exported(&self, device: Device, home: &Path) -> Result<Vec<Row>> {
        let Some(program) = &self.program else { return Ok(Vec::new()) };
        let mut command = Command::new(program);
        command.args(["-c", EXPORTED, "--device", if device.is_cuda() { "cuda" } else { "cpu" }]);
        command.args(["--base", &exported::BASE.to_string(), "--rounds", &(3 * self.rounds).to_string()]);
        command.arg("--batches").args(exported::BATCHES.map(|batch| batch.to_string()));
        command.args(["--steps", &(5 * self.steps.0).to_string(), "--"]).arg(home);
        let row = |line: Line| Row { name: exported::name(device, &line.net), side: line.mode, us: line.us };
        Ok(lines_of(command)?.into_iter().map(row).collect())
    }

    /// Measures a host alone and in DistributedDataParallel, also with SyncBatchNorm. The ranks meet at a
    /// port of this machine.
    pub(crate) fn ranks(&self, setting: Setting, host: &str, name: &str, port: u16) -> Result<Vec<Row>> {
        let Some(program) = &self.program else { return Ok(Vec::new()) };
        let mut command = Command::new(program);
        // SyncBatchNorm needs GPUs, and the transformer has no batch norm.
        let sync = setting.device.is_cuda() && host != "transformer";
        let modes = if sync { "eager,ddp,ddp_sync" } else { "eager,ddp" };
        command.args(["-c", SCRIPT, "--nets", host, "--modes", modes, "--device"]);
        command.arg(if setting.device.is_cuda() { "cuda" } else { "cpu" });
        command.args(["--precision", setting.precision.as_str(), "--batch", &setting.batch.to_string()]);
        command.args(["--rounds", &self.rounds.to_string(), "--steps", &(2 * self.steps.0).to_string()]);
        command.env("MASTER_PORT", port.to_string()).env_remove("TORCHELASTIC_USE_AGENT_STORE");
        let side = |mode: &str| match mode {
            "ddp" => "pytorch ddp",
            "ddp_sync" => "pytorch ddp, SyncBatchNorm",
            _ => "pytorch 1 rank",
        };
        let row = |line: Line| Row { name: name.to_owned(), side: side(&line.mode).to_owned(), us: line.us };
        Ok(lines_of(command)?.into_iter().map(row).collect())
    }

    /// Runs the script and parses its output.
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
        lines_of(command)
    }
}

/// Runs a command and parses its output.
fn lines_of(mut command: Command) -> Result<Vec<Line>> {
    // The library path of this process contains another libtorch than Python's.
    let out =
        command.env_remove("LD_LIBRARY_PATH").stderr(Stdio::piped()).output().context("starting Python")?;
    if !out.status.success() {
        bail!("the PyTorch side failed:\n{}", String::from_utf8_lossy(&out.stderr));
    }
    let text = String::from_utf8(out.stdout)?;
    text.lines()
        .filter(|line| line.starts_with('{'))
        .map(|line| serde_json::from_str(line).with_context(|| format!("reading `{line}`")))
        .collect()
}

/// Name of a network in reports, for its name in the script.
fn net(name: &str) -> String {
    if name == "alone" { name.to_owned() } else { format!("3 {name}") }
}
