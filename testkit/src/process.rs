//! What belongs to the whole process, and what the system says of it.

use crate::failure::Failure;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::OnceLock;
use tch::{Kind, Tensor};

/// The process as it was before any author's code ran in it: what is changed once stays changed, and would
/// look untouched to whoever looks later.
static BEFORE: OnceLock<Option<World>> = OnceLock::new();

/// Remembers the process as it is, the first time.
pub(crate) fn remember() {
    BEFORE.get_or_init(|| World::look().ok());
}

/// What differs from then: what, as it was, as it is.
pub(crate) fn changes() -> Result<Vec<String>, Failure> {
    let Some(Some(before)) = BEFORE.get() else {
        return Err(Failure::NotHere("the process could not be looked at when it began".to_owned()));
    };
    Ok(before.differences(&World::look()?))
}

#[derive(Debug, PartialEq, Eq)]
struct World {
    directory: Option<PathBuf>,
    environment: BTreeMap<OsString, OsString>,
    /// Signals caught and ignored, and the mask of new files, as the kernel writes them.
    kernel: BTreeMap<&'static str, String>,
    torch: BTreeMap<&'static str, String>,
}

impl World {
    fn look() -> Result<Self, Failure> {
        let kernel = [("SigCgt", "signals caught"), ("SigIgn", "signals ignored"), ("Umask", "umask")];
        let status = std::fs::read_to_string("/proc/self/status")?;
        let kernel = kernel.map(|(field, name)| (name, field_of(&status, field).unwrap_or_default()));
        let one = Tensor::f_ones([1], (Kind::Int, tch::Device::Cpu))?;
        let weight = Tensor::f_ones([1], (Kind::Float, tch::Device::Cpu))?.f_requires_grad_(true)?;
        let torch = [
            ("torch's threads", tch::get_num_threads().to_string()),
            ("torch's interop threads", tch::get_num_interop_threads().to_string()),
            // Whole numbers divide into the default dtype.
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
            found.push("the working directory is another".to_owned());
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

fn field_of(status: &str, field: &str) -> Option<String> {
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
    Some(line.trim().to_owned())
}

/// Bytes of memory that this process has touched.
pub(crate) fn resident() -> Result<u64, Failure> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let kib = field_of(&status, "VmRSS").and_then(|v| v.trim_end_matches(" kB").trim().parse::<u64>().ok());
    kib.map(|kib| kib * 1024).ok_or_else(|| Failure::NotHere("the system does not tell VmRSS".to_owned()))
}

/// The threads of this process: number and name.
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
    fn a_field_of_the_status_is_found_by_its_whole_name() {
        let status = "VmRSSx:\t1 kB\nVmRSS:\t  204 kB\n";
        assert_eq!(field_of(status, "VmRSS").as_deref(), Some("204 kB"));
        assert!(resident().unwrap() > 1 << 20);
        assert!(!threads().unwrap().is_empty());
    }
}
