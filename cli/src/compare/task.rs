//! The part of a comparison that one of several processes runs, for instance a task of a Slurm array.

use kasmina_files::{limit, read_text, write_whole};
use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Variables of the number of a Slurm array, and of how often it was started again. Tasks of one array ignore
/// the failures of an earlier one.
const ARRAY: [&str; 2] = ["SLURM_ARRAY_JOB_ID", "SLURM_RESTART_COUNT"];

/// Task `number` (from 1) of `of` tasks that share the runs of a comparison and its folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Task {
    number: usize,
    of: usize,
}

impl Task {
    /// Whether this task runs the job with an index; otherwise another task does.
    pub(super) fn runs(self, job: usize) -> bool {
        job % self.of == self.number - 1
    }

    /// Whether this task writes the report.
    pub(super) fn reports(self) -> bool {
        self.number == 1
    }
}

impl FromStr for Task {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "write N/M, for example 1/4: task N, from 1, of M tasks".to_owned();
        let (number, of) = text.split_once('/').ok_or_else(wrong)?;
        let read =
            |text: &str| text.trim().parse::<NonZeroUsize>().map(NonZeroUsize::get).map_err(|_| wrong());
        let (number, of) = (read(number)?, read(of)?);
        if number > of { Err(wrong()) } else { Ok(Self { number, of }) }
    }
}

/// Tells the other tasks why a run has failed, by a file beside its directory.
pub(super) fn write_failure(out: &Path, reason: &str) {
    // A task that cannot write it leaves the others waiting, which they say.
    let _ = write_whole(&failure_file(out), format!("{}\n{reason}", array()).as_bytes(), true);
}

/// Returns why a run of another task has failed; `None` if it has not.
pub(super) fn failure(out: &Path) -> Option<String> {
    let text = read_text(&failure_file(out), limit::CONFIG).ok()?;
    let (array_of_failure, reason) = text.split_once('\n')?;
    (array_of_failure == array()).then(|| reason.to_owned())
}

/// Removes the reason of an earlier failure.
pub(super) fn forget_failure(out: &Path) {
    let _ = fs::remove_file(failure_file(out));
}

fn failure_file(out: &Path) -> PathBuf {
    let mut name = out.as_os_str().to_owned();
    name.push(".failed");
    name.into()
}

fn array() -> String {
    ARRAY.map(|name| std::env::var(name).unwrap_or_default()).join(" ")
}

#[cfg(test)]
mod tests {
    use super::Task;

    #[test]
    fn every_job_is_run_by_one_task() {
        let tasks: Vec<Task> = (1..=3).map(|n| format!("{n}/3").parse().unwrap()).collect();
        for job in 0..10 {
            assert_eq!(tasks.iter().filter(|task| task.runs(job)).count(), 1);
        }
        assert!(tasks[0].reports() && !tasks[1].reports());
        for wrong in ["", "1", "0/2", "3/2", "a/2", "1/0", "1/2/3"] {
            assert!(wrong.parse::<Task>().is_err(), "{wrong}");
        }
    }
}
