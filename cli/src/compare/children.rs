//! Runs the jobs of a comparison as child processes, several at a time. Completed runs are not repeated.

use super::task::{self, Task};
use crate::failure::Failure;
use crate::plugins::args::Access;
use crate::terminal;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use kasmina_files::{limit, read, read_text, sha256, write_whole};
use kasmina_registry::hash_of;
use kasmina_trainer::compare::{CurvePoint, Done, Job, Runner};
use kasmina_trainer::run::{PluginSummary, Status};
use kasmina_trainer::{EpochReport, RunConfig, Summary, TrainError};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Variable with the GPUs that a process sees.
pub(super) const VISIBLE_GPUS: &str = "CUDA_VISIBLE_DEVICES";
/// Time between two looks at a run of another task.
const PAUSE: Duration = Duration::from_secs(2);

/// Runs `kasmina train` for every job. A completed run with the same settings, program, plugins and data is
/// reused.
pub(super) struct Children {
    program: PathBuf,
    /// SHA-256 of the program's file.
    program_sha256: String,
    /// Hashes of the files that a run reads, keyed by the settings that name them; `None` if they cannot be
    /// read.
    inputs: Mutex<BTreeMap<String, Option<BTreeMap<String, String>>>>,
    folder: PathBuf,
    /// Maximum number of runs at a time.
    parallel_runs: usize,
    /// GPUs of which each run at a time gets its own, as `CUDA_VISIBLE_DEVICES` names them; empty if runs are
    /// not spread.
    gpus: Vec<String>,
    /// The part of the runs that this process executes; `None` for all.
    task: Option<Task>,
    /// Further arguments of every `kasmina train`.
    options: Vec<String>,
    bar: ProgressBar,
    screen: MultiProgress,
}

impl Children {
    pub(super) fn new(
        screen: &MultiProgress,
        folder: PathBuf,
        parallel_runs: usize,
        gpus: Vec<String>,
        task: Option<Task>,
        access: &Access,
    ) -> Result<Self, Failure> {
        let program = std::env::current_exe().map_err(Failure::new)?;
        fs::create_dir_all(&folder).map_err(|e| Failure::new(format!("{}: {e}", folder.display())))?;
        let mut options = Vec::new();
        if access.allow_unsigned {
            options.push("--allow-unsigned".to_owned());
        }
        if let Some(lock) = &access.lock {
            options.extend(["--lock".to_owned(), lock.display().to_string()]);
        }
        let bar = if terminal::stderr_can_redraw() {
            let style = ProgressStyle::with_template("{bar:24} run {pos}/{len}  {msg}  eta {eta}")
                .unwrap_or_else(|_| ProgressStyle::default_bar());
            screen.add(ProgressBar::new(0)).with_style(style)
        } else {
            ProgressBar::hidden()
        };
        let program_sha256 = sha256(Path::new("/proc/self/exe")).map_err(Failure::new)?;
        Ok(Self {
            program,
            program_sha256,
            inputs: Mutex::default(),
            folder,
            parallel_runs,
            gpus,
            task,
            options,
            bar,
            screen: screen.clone(),
        })
    }

    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }

    /// Returns the result of a job that is done already.
    fn done(&self, job: &Job) -> Option<Done> {
        let out = self.folder.join(&job.name);
        completed(&out, &job.config).filter(|done| self.is_up_to_date(&out, done, &job.config))
    }

    /// Waits for the result of a job that another task runs.
    fn wait_for_job(&self, job: &Job, failed: &AtomicBool) -> Result<Done, TrainError> {
        let out = self.folder.join(&job.name);
        let mut said = false;
        loop {
            if let Some(done) = self.done(job) {
                return Ok(done);
            }
            let other = failed.load(Ordering::Relaxed).then(|| "another run has failed".to_owned());
            if let Some(reason) = task::failure(&out).or(other) {
                return Err(TrainError::RunDir { path: out, reason });
            }
            if !said {
                self.screen.suspend(|| errln!("waiting for another task: {}", job.name));
                said = true;
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// Returns the result of a job, from a completed run or from a new one. `worker` is the number of the
    /// thread, by which a GPU is chosen.
    fn run_job(&self, job: &Job, worker: usize) -> Result<Done, TrainError> {
        let out = self.folder.join(&job.name);
        task::forget_failure(&out);
        let done = self.run_new_job(job, &out, worker);
        if let (Err(error), Some(_)) = (&done, self.task) {
            task::write_failure(&out, &error.to_string());
        }
        done
    }

    fn run_new_job(&self, job: &Job, out: &Path, worker: usize) -> Result<Done, TrainError> {
        if let Some(done) = self.done(job) {
            return Ok(done);
        }
        let out = out.to_owned();
        let failed = |reason: String| TrainError::RunDir { path: out.clone(), reason };
        if out.exists() {
            // An incomplete run, or one with other settings, another program, or other plugins or data.
            fs::remove_dir_all(&out).map_err(|e| failed(e.to_string()))?;
        }
        let file = settings_file(&out);
        let text = toml::to_string(&job.config).map_err(|e| failed(e.to_string()))?;
        write_whole(&file, text.as_bytes(), true).map_err(|e| failed(e.to_string()))?;
        let mut command = Command::new(&self.program);
        command.arg("train").arg("--config").arg(&file).arg("--out").arg(&out).arg("--json");
        // The environment must not change what the configuration says.
        command.env_remove("KASMINA_DISABLE_SEEDS");
        // Each run is a run of one rank, also if this process is a task of Slurm.
        for variable in kasmina_ranks::World::variables() {
            command.env_remove(variable);
        }
        if let Some(gpu) = self.gpus.get(worker % self.gpus.len().max(1)) {
            command.env(VISIBLE_GPUS, gpu);
        }
        if job.config.data.dir.is_some() {
            command.env_remove("KASMINA_DATA_DIR");
        }
        command.args(&self.options).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let output = command.output().map_err(|e| failed(e.to_string()))?;
        let stderr = String::from_utf8_lossy(&output.stderr);
        match completed(&out, &job.config) {
            Some(done) => {
                let program = self.program_sha256.as_bytes();
                write_whole(&program_file(&out), program, true).map_err(|e| failed(e.to_string()))?;
                Ok(done)
            }
            None => Err(failed(format!("the run did not complete: {}", last_lines(&stderr)))),
        }
    }
}

impl Children {
    /// Whether program, plugins and data are, byte for byte, those of a completed run. Compares hashes and
    /// not modification times, because a file may be replaced by an older one.
    fn is_up_to_date(&self, out: &Path, done: &Done, config: &RunConfig) -> bool {
        let same = |plugin: &PluginSummary| match (&plugin.path, &plugin.sha256) {
            (Some(path), Some(sha256)) => hash_of(path).is_ok_and(|now| now == *sha256),
            // Built into the program, whose hash is compared below.
            _ => true,
        };
        let program = read_text(&program_file(out), limit::CONFIG).unwrap_or_default();
        program == self.program_sha256
            && done.summary.plugins.iter().all(same)
            && self.inputs(config).is_some_and(|inputs| inputs == done.summary.inputs)
    }

    /// Returns the hashes of all files that a run with these settings would read. They are computed once for
    /// each combination of task, data, script, host and initial weights.
    fn inputs(&self, config: &RunConfig) -> Option<BTreeMap<String, String>> {
        let key =
            serde_json::to_string(&(&config.task, &config.data, &config.script, &config.host, &config.init))
                .ok()?;
        let mut known = self.inputs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(inputs) = known.get(&key) {
            return inputs.clone();
        }
        let inputs = kasmina_trainer::run::input_hashes(config).ok();
        known.insert(key, inputs.clone());
        inputs
    }
}

/// Returns the path of the file beside a run directory that contains the requested settings. Appends to the
/// name, because the names of runs contain dots.
fn settings_file(out: &Path) -> PathBuf {
    let mut name = out.as_os_str().to_owned();
    name.push(".toml");
    name.into()
}

/// Returns the path of the file beside a run directory that contains the SHA-256 of the program that made it.
fn program_file(out: &Path) -> PathBuf {
    let mut name = out.as_os_str().to_owned();
    name.push(".program");
    name.into()
}

/// Returns the last lines that a failed run wrote to standard error, without its progress.
fn last_lines(stderr: &str) -> String {
    let lines: Vec<&str> =
        stderr.lines().filter(|line| !line.starts_with("epoch") && !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(6)..].join(" ")
}

/// Returns the result of the run in a directory, if it has completed with these settings.
fn completed(out: &Path, config: &RunConfig) -> Option<Done> {
    let requested = RunConfig::from_file(&settings_file(out)).ok()?;
    if requested != *config {
        return None;
    }
    let summary = read(&out.join("summary.json"), limit::CONFIG).ok()?;
    let summary: Summary = serde_json::from_slice(&summary).ok()?;
    let epochs: Vec<EpochReport> = kasmina_records::lines(&out.join(kasmina_records::METRICS)).ok()?;
    let point = |report: &EpochReport| CurvePoint {
        multiply_adds: report.training_multiply_adds,
        accuracy: report.val_accuracy,
    };
    let curve = epochs.iter().map(point).collect();
    let complete = summary.status == Status::Completed && summary.seeds_disabled == config.disable_seeds;
    complete.then_some(Done { summary, curve })
}

impl Runner for Children {
    fn run(&mut self, jobs: &[Job]) -> Result<Vec<Done>, TrainError> {
        self.bar.inc_length(jobs.len() as u64);
        let (next, failed) = (AtomicUsize::new(0), AtomicBool::new(false));
        let results: Mutex<Vec<(usize, Result<Done, TrainError>)>> = Mutex::default();
        let this = &*self;
        let is_of_other = |index: usize| this.task.is_some_and(|task| !task.runs(index));
        // Its own runs come first, so that no thread waits for another task while there is work.
        let mut order: Vec<usize> = (0..jobs.len()).collect();
        order.sort_by_key(|index| is_of_other(*index));
        let work = |worker: usize| {
            while !failed.load(Ordering::Relaxed) {
                let Some(&index) = order.get(next.fetch_add(1, Ordering::Relaxed)) else { break };
                let Some(job) = jobs.get(index) else { break };
                let other = is_of_other(index);
                let result = if other { this.wait_for_job(job, &failed) } else { this.run_job(job, worker) };
                failed.fetch_or(result.is_err(), Ordering::Relaxed);
                if let Ok(done) = &result {
                    this.bar.inc(1);
                    this.bar.set_message(job.name.clone());
                    let accuracy = done.summary.final_val_accuracy.unwrap_or(0.0);
                    if this.bar.is_hidden() {
                        this.screen.suspend(|| errln!("{}: {accuracy:.2} %", job.name));
                    }
                }
                if let Ok(mut results) = results.lock() {
                    results.push((index, result));
                }
            }
        };
        std::thread::scope(|scope| {
            let work = &work;
            for worker in 1..this.parallel_runs.min(jobs.len()) {
                let name = "kasmina-compare".to_owned();
                let thread = std::thread::Builder::new().name(name);
                if let Err(error) = thread.spawn_scoped(scope, move || work(worker)) {
                    // This thread works too, so all jobs are done with fewer threads.
                    this.screen.suspend(|| errln!("warning: fewer parallel runs than requested: {error}"));
                    break;
                }
            }
            work(0);
        });
        let mut results = results.into_inner().unwrap_or_default();
        results.sort_by_key(|(index, _)| *index);
        results.into_iter().map(|(_, result)| result).collect()
    }
}
