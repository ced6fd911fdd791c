//! State of the whole process that a plugin must not change: directory, environment, signals, torch's
//! settings, threads and memory.

use crate::failure::Failure;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::OnceLock;
use tch::{Kind, Tensor};

/// The state before any plugin code ran. Taken only once, because a change by an earlier check would
/// otherwise be part of the state that later checks compare with.
static INITIAL: OnceLock<Option<ProcessState>> = OnceLock::new();

/// Stores the current state as the initial one. Later calls have no effect.
pub(crate) fn record_initial_state() {
    INITIAL.get_or_init(|| ProcessState::capture().ok());
}

/// Returns descriptions of all differences between the initial and the current state.
pub(crate) fn changes() -> Result<Vec<String>, Failure> {
    let Some(Some(before)) = INITIAL.get() else {
        return Err(Failure::NotApplicable("the initial state of the process is not known".to_owned()));
    };
    Ok(before.differences(&ProcessState::capture()?))
}

#[derive(Debug, PartialEq, Eq)]
struct ProcessState {
    directory: Option<PathBuf>,
    environment: BTreeMap<OsString, OsString>,
    /// Caught and ignored signals, and the umask, as in `/proc/self/status`.
    kernel: BTreeMap<&'static str, String>,
    torch: BTreeMap<&'static str, String>,
}

impl ProcessState {
    fn capture() -> Result<Self, Failure> {
        let kernel = [("SigCgt", "signals caught"), ("SigIgn", "signals ignored"), ("Umask", "umask")];
        let status = std::fs::read_to_string("/proc/self/status")?;
        let kernel = kernel.map(|(field, name)| (name, status_field(&status, field).unwrap_or_default()));
        let one = Tensor::f_ones([1], (Kind::Int, tch::Device::Cpu))?;
        let weight = Tensor::f_ones([1], (Kind::Float, tch::Device::Cpu))?.f_requires_grad_(true)?;
        let torch = [
            ("torch's threads", tch::get_num_threads().to_string()),
            ("torch's interop threads", tch::get_num_interop_threads().to_string()),
            // The quotient of integers has the default dtype.
            ("the default dtype", format!("{:?}", one.f_div(&one)?.kind())),
            ("grad mode", (weight * 2.0).requires_grad().to_string()),
        ];
        Ok(Self {
            directory: std::env::current_dir().ok(),
            environment: std::env::vars_os().collect(),
            kernel: kernel.into(),
            torch: torch.into(),
        })
    }

    fn differences(&self, now: &Self) -> Vec<String> {
        let mut found = Vec::new();
        if self.directory != now.directory {
            found.push("the working directory changed".to_owned());
        }
        let names: Vec<&OsString> = self.environment.keys().chain(now.environment.keys()).collect();
        let mut changed: Vec<_> = names
            .into_iter()
            .filter(|name| self.environment.get(*name) != now.environment.get(*name))
            .collect();
        changed.sort();
        changed.dedup();
        found.extend(
            changed.iter().map(|name| format!("the environment variable {} changed", name.display())),
        );
        for (before, after) in [(&self.kernel, &now.kernel), (&self.torch, &now.torch)] {
            for ((name, was), is) in before.iter().zip(after.values()).filter(|((_, was), is)| was != is) {
                found.push(format!("{name}: {was} before, {is} now"));
            }
        }
        found
    }
}

fn status_field(status: &str, field: &str) -> Option<String> {
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
    Some(line.trim().to_owned())
}

/// Returns the resident memory of this process in bytes.
pub(crate) fn resident() -> Result<u64, Failure> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let kib =
        status_field(&status, "VmRSS").and_then(|v| v.trim_end_matches(" kB").trim().parse::<u64>().ok());
    kib.map(|kib| kib * 1024)
        .ok_or_else(|| Failure::NotApplicable("/proc/self/status does not contain VmRSS".to_owned()))
}

/// Returns the threads of this process: names by id.
pub(crate) fn threads() -> Result<BTreeMap<String, String>, Failure> {
    let tasks = std::fs::read_dir("/proc/self/task")?;
    Ok(tasks
        .filter_map(Result::ok)
        .map(|task| {
            let name = std::fs::read_to_string(task.path().join("comm")).unwrap_or_default();
            (task.file_name().to_string_lossy().into_owned(), name.trim().to_owned())
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_field_is_found_by_its_full_name() {
        let status = "VmRSSx:\t1 kB\nVmRSS:\t  204 kB\n";
        assert_eq!(status_field(status, "VmRSS").as_deref(), Some("204 kB"));
        assert!(resident().unwrap() > 1 << 20);
        assert!(!threads().unwrap().is_empty());
    }
}
