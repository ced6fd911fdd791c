//! Simulates a full disk: by a small filesystem in memory where the system lets a user mount one, otherwise
//! by a limit on the size of files.

use kasmina_tests::shell::{around, in_shell};
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// Bytes of the small filesystem, enough for a run of these cases with all its checkpoints.
const BYTES: u64 = 256 << 20;
/// Name of the file that fills it.
const FILLING: &str = "filling";

/// How a full disk is simulated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Small {
    /// The run's folder is a small filesystem, which is filled by another file.
    Filesystem,
    /// A resource limit keeps every file of the process from growing.
    Limit,
}

impl Small {
    /// Returns `Filesystem` if a user may mount one in which file owners are kept, else `Limit`.
    pub(crate) fn allowed() -> Self {
        let probe = "mount -t tmpfs -o size=1m none /mnt && test \"$(stat -c %u /)\" = 0";
        let mut command = Command::new("unshare");
        command.args(["-rm", "sh", "-c", probe]).stdout(Stdio::null()).stderr(Stdio::null());
        if command.status().is_ok_and(|status| status.success()) { Self::Filesystem } else { Self::Limit }
    }

    /// Description for the report.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Filesystem => "a small filesystem of memory",
            Self::Limit => "a limit on the size of files",
        }
    }

    /// Returns a command that runs `command` on such a disk. The filesystem ends with the process, so its
    /// contents are copied to [`kept`] before.
    pub(crate) fn around(self, command: &Command, run: &Path) -> Command {
        let mut shell = match self {
            Self::Filesystem => {
                std::fs::create_dir_all(run).expect("the run's folder can be made");
                let script = "size=$1 run=$2 kept=$3; shift 3; mount -t tmpfs -o \"size=$size,mode=700\" none \"$run\" && \
                              { \"$@\"; code=$?; cp -a \"$run\" \"$kept\" && exit $code; }";
                let mut unshare = Command::new("unshare");
                unshare.args(["-rm", "sh"]);
                let size = BYTES.to_string();
                around(unshare, command, script, &[size.as_ref(), run.as_ref(), kept(run).as_ref()])
            }
            // Exceeding the limit sends SIGXFSZ, which must not end the run: a full disk sends no signal.
            Self::Limit => in_shell(command, "trap '' XFSZ; exec \"$@\"", &[]),
        };
        shell.stdout(Stdio::null()).stderr(Stdio::null());
        shell
    }

    /// Returns a path to the run's folder as its process sees it.
    pub(crate) fn seen(self, run: &Path, pid: Pid) -> PathBuf {
        match self {
            Self::Filesystem => {
                let below = run.strip_prefix("/").unwrap_or(run);
                PathBuf::from(format!("/proc/{}/root", pid.as_raw_nonzero())).join(below)
            }
            Self::Limit => run.to_owned(),
        }
    }

    /// Keeps the disk full for a while. Returns false if the process has ended.
    pub(crate) fn fill(self, run: &Path, pid: Pid, time: Duration) -> bool {
        match self {
            Self::Filesystem => {
                let filling = self.seen(run, pid).join(FILLING);
                let Ok(mut file) = std::fs::File::create(&filling) else { return false };
                let block = vec![0; 1 << 20];
                while file.write_all(&block).is_ok() {}
                // The last block is filled byte by byte.
                while file.write_all(&[0]).is_ok() {}
                std::thread::sleep(time);
                std::fs::remove_file(&filling).is_ok()
            }
            Self::Limit => {
                let limit =
                    |bytes| prlimit(Some(pid), Resource::Fsize, Rlimit { current: bytes, maximum: None });
                if limit(Some(0)).is_err() {
                    return false;
                }
                std::thread::sleep(time);
                limit(None).is_ok()
            }
        }
    }

    /// Moves the copied contents of the filesystem to the run's folder.
    pub(crate) fn bring_back(self, run: &Path) {
        if self == Self::Filesystem {
            std::fs::remove_dir(run).expect("the mount point is empty");
            std::fs::rename(kept(run), run).expect("the run was copied");
            let _ = std::fs::remove_file(run.join(FILLING));
        }
    }
}

/// Folder to which a run in a filesystem is copied.
fn kept(run: &Path) -> PathBuf {
    run.with_extension("kept")
}
