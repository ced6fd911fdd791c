//! The lock of a run directory, which only one process can own.
//!
//! The lock is an advisory lock of the system on `run.lock`, a file that names the owner. On file systems
//! without locks between machines the content decides: the owner rewrites the file regularly, and a file of
//! another machine that has not been rewritten for a while is ignored.

use crate::error::TrainError;
use kasmina_files::open_own;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

const LOCK: &str = "run.lock";
/// Time after which the owner rewrites the file.
const RENEWAL_INTERVAL: Duration = Duration::from_secs(10);
/// Age of the file after which an owner on another machine counts as gone.
const STALE_AFTER: Duration = Duration::from_mins(1);

/// Owner of a run directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Owner {
    host: String,
    pid: u32,
}

/// Ownership of a run directory, until the value is dropped.
#[derive(Debug)]
pub(crate) struct RunLock {
    file: File,
    renewal: Option<(Sender<()>, JoinHandle<()>)>,
}

impl RunLock {
    /// Takes the lock of an existing run directory.
    ///
    /// # Errors
    /// If another process owns it; the message names the process.
    pub(crate) fn take(run: &Path) -> Result<Self, TrainError> {
        let wrong = |reason: String| TrainError::RunDir { path: run.to_owned(), reason };
        let io = |e: std::io::Error| wrong(format!("its lock cannot be taken: {e}"));
        let path = run.join(LOCK);
        let mut file = open_own(&path, false).map_err(io)?;
        let me = Owner { host: host_name(), pid: std::process::id() };
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(io)?;
        let owner: Option<Owner> = serde_json::from_str(&text).ok();
        let owned = |owner: &Owner| TrainError::Owned {
            path: run.to_owned(),
            host: owner.host.clone(),
            pid: owner.pid,
        };
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let unknown = Owner { host: "an unknown host".to_owned(), pid: 0 };
                return Err(owned(&owner.unwrap_or(unknown)));
            }
            // On a file system without locks the content of the file decides.
            Ok(())
            | Err(rustix::io::Errno::NOLCK | rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => {}
            Err(error) => return Err(io(error.into())),
        }
        if let Some(other) = owner.filter(|owner| owner.host != me.host && !is_stale(&file)) {
            return Err(owned(&other));
        }
        let text = serde_json::to_string(&me).unwrap_or_default();
        write(&mut file, &text).map_err(io)?;
        let (stop, stopped) = channel::<()>();
        let mut renewed = file.try_clone().map_err(io)?;
        let renewal = std::thread::Builder::new().name("kasmina-lock".to_owned()).spawn(move || {
            while stopped.recv_timeout(RENEWAL_INTERVAL) == Err(RecvTimeoutError::Timeout) {
                let _ = write(&mut renewed, &text);
            }
        });
        let renewal = renewal.ok().map(|thread| (stop, thread));
        Ok(Self { file, renewal })
    }
}

impl Drop for RunLock {
    fn drop(&mut self) {
        if let Some((stop, thread)) = self.renewal.take() {
            drop(stop);
            let _ = thread.join();
        }
        // The file is not removed: another process may already have opened it to take the lock.
        let _ = self.file.set_len(0);
        let _ = flock(&self.file, FlockOperation::Unlock);
    }
}

fn write(file: &mut File, text: &str) -> std::io::Result<()> {
    file.seek(SeekFrom::Start(0))?;
    file.write_all(text.as_bytes())?;
    file.set_len(text.len() as u64)
}

/// Whether the file was not rewritten for `STALE_AFTER`.
fn is_stale(file: &File) -> bool {
    let changed = file.metadata().and_then(|data| data.modified());
    let age = changed.ok().and_then(|changed| SystemTime::now().duration_since(changed).ok());
    age.is_some_and(|age| age > STALE_AFTER)
}

fn host_name() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    if name.is_empty() { "localhost".to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_owner_is_refused_and_the_first_is_named() {
        let home = tempfile::tempdir().unwrap();
        let lock = RunLock::take(home.path()).unwrap();
        let error = RunLock::take(home.path()).unwrap_err().to_string();
        assert!(error.contains(&format!("process {}", std::process::id())), "{error}");
        drop(lock);
        drop(RunLock::take(home.path()).unwrap());
    }

    #[test]
    fn an_owner_on_another_machine_is_respected_until_its_lock_is_stale() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join(LOCK);
        std::fs::write(&path, r#"{"host":"elsewhere","pid":7}"#).unwrap();
        let error = RunLock::take(home.path()).unwrap_err().to_string();
        assert!(error.contains("elsewhere"), "{error}");
        let long_ago = SystemTime::now() - 2 * STALE_AFTER;
        File::options().write(true).open(&path).unwrap().set_modified(long_ago).unwrap();
        RunLock::take(home.path()).unwrap();
    }
}
