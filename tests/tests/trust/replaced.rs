//! A file that is replaced between its check and its use.
//!
//! The file is replaced after a command has read it once, twice, and so on. The other file writes a mark when
//! it is opened; no command may open it.

use crate::scene::{Kind, SHORT_RUN, Scene, TrustState};
use kasmina_tests::{fixture, output};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify;
use std::fs;
use std::mem::MaybeUninit;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// Maximum number of reads after which the file is replaced.
const MOST_READS: usize = 4;
/// Maximum time of one wait for an event.
const TICK: Timespec = Timespec { tv_sec: 0, tv_nsec: 5_000_000 };

/// Replaces a file by another one after it was read `reads` times. Returns false if `is_over` is set before.
fn replace_after(reads: usize, file: &Path, other: &Path, is_over: &AtomicBool) -> bool {
    let watch = inotify::init(inotify::CreateFlags::NONBLOCK | inotify::CreateFlags::CLOEXEC).unwrap();
    inotify::add_watch(&watch, file, inotify::WatchFlags::CLOSE_NOWRITE).unwrap();
    let mut seen = 0;
    let mut buffer = [MaybeUninit::uninit(); 4096];
    while !is_over.load(Ordering::Relaxed) {
        let _ = poll(&mut [PollFd::new(&watch, PollFlags::IN)], Some(&TICK));
        let mut events = inotify::Reader::new(&watch, &mut buffer);
        while events.next().is_ok() {
            seen += 1;
            if seen == reads {
                fs::rename(other, file).unwrap();
                return true;
            }
        }
    }
    false
}

/// docs/security.md: 14
#[test]
fn the_checked_bytes_are_the_opened_bytes() {
    let mut table = String::new();
    for verb in ["inspect", "schema", "check", "train", "compare", "lock"] {
        let mut row = format!("{verb:<10}");
        for reads in 1..=MOST_READS {
            let scene = Scene::new(Kind::Library, TrustState::Unsigned);
            let (file, other) = (scene.file(), scene.path("other.so"));
            // The first file is a trusted plugin; the other one writes the mark.
            fs::rename(&file, &other).unwrap();
            fs::copy(fixture("gated"), &file).unwrap();
            let (_, error, code) = output(scene.command(&["plugins", "lock", scene.name()]));
            assert_eq!(code, Some(0), "{error}");
            let run = format!("blend = \"gate_net\"\n{SHORT_RUN}");
            fs::write(scene.path("project/small.toml"), &run).unwrap();
            let compared = format!("seeds = 1\ntuning_seeds = 1\nrates = [1e-2]\n\n[run]\n{run}");
            fs::write(scene.path("project/compare.toml"), compared.replace("\n[data", "\n[run.data"))
                .unwrap();
            let command = scene.command(match verb {
                "inspect" => &["plugins", "inspect", "plugins/libmarker.so"],
                "schema" => &["plugins", "schema", "gate_net"],
                "check" => &["plugins", "check", "plugins/libmarker.so", "--only", "listing"],
                "train" => &["train", "--config", "small.toml", "--out", "run"],
                "compare" => &["compare", "compare.toml", "--out", "compared", "--jobs", "1"],
                _ => &["plugins", "lock"],
            });
            let is_over = AtomicBool::new(false);
            let replaced = std::thread::scope(|scope| {
                let replacing = scope.spawn(|| replace_after(reads, &file, &other, &is_over));
                let _ = output(command);
                is_over.store(true, Ordering::Relaxed);
                replacing.join().unwrap()
            });
            row += match (replaced, scene.is_marked()) {
                (_, true) => "opened    ",
                (true, false) => ".         ",
                (false, false) => "-         ",
            };
            // Every command must read the file at least once, or the test checks nothing.
            assert!(replaced || reads > 1, "{verb} does not read the file");
            // The lock file must not contain the unchecked file.
            let lock = fs::read_to_string(scene.path("project/plugins.lock")).unwrap();
            assert!(!lock.contains("marker"), "{verb}: {lock}");
        }
        table += &format!("{}\n", row.trim_end());
    }
    assert!(!table.contains("opened"), "{table}");
}
