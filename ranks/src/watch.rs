//! Signs of life: each rank writes one every few seconds, and looks for those of the others.

use crate::peer::Peer;
use kasmina_torch_ext::ranks::{Collective, Store};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Longest time between two signs of life.
const INTERVAL: Duration = Duration::from_secs(2);
/// Number of missing signs after which a rank counts as lost if a transfer has failed too.
const MISSING_SIGNS: u32 = 3;
/// Time between two looks at whether the run has ended.
const PAUSE: Duration = Duration::from_millis(50);

/// A rank that is lost, and why.
#[derive(Debug, Clone)]
pub(crate) struct Loss {
    pub(crate) rank: usize,
    pub(crate) what: String,
}

/// What the watching thread and the training thread share.
#[derive(Debug)]
pub(crate) struct Signs {
    /// Number of this rank's training steps.
    step: AtomicU64,
    /// What this rank does at present, if it says so.
    doing: Mutex<Option<String>>,
    /// The newest sign of each rank; `None` for this rank.
    seen: Mutex<Vec<Option<Seen>>>,
    loss: OnceLock<Loss>,
    /// Connections that are aborted when a rank is lost, so that no operation waits for it.
    collective: Mutex<Option<Collective>>,
    ended: AtomicBool,
    interval: Duration,
    limit: Duration,
}

/// The newest sign of a rank.
#[derive(Debug, Clone)]
struct Seen {
    text: String,
    at: Instant,
    step: u64,
    /// Number of operations that the rank has begun.
    operations: u64,
    doing: String,
}

impl Signs {
    pub(crate) fn new(size: usize, rank: usize, limit: Duration) -> Self {
        let now = Instant::now();
        let seen = |other| {
            let (text, doing) = (String::new(), String::new());
            (other != rank).then_some(Seen { text, at: now, step: 0, operations: 0, doing })
        };
        Self {
            step: AtomicU64::new(0),
            doing: Mutex::new(None),
            seen: Mutex::new((0..size).map(seen).collect()),
            loss: OnceLock::new(),
            collective: Mutex::new(None),
            ended: AtomicBool::new(false),
            interval: INTERVAL.min(limit / 5),
            limit,
        }
    }

    /// Returns the rank that is lost, if one is.
    pub(crate) fn loss(&self) -> Option<&Loss> {
        self.loss.get()
    }

    /// Sets the number of training steps that this rank has made.
    pub(crate) fn set_step(&self, step: u64) {
        self.step.store(step, Ordering::Relaxed);
    }

    /// Sets what this rank does at present.
    pub(crate) fn set_doing(&self, doing: Option<&str>) {
        *self.doing.lock() = doing.map(str::to_owned);
    }

    /// Aborts these connections when a rank is lost.
    pub(crate) fn guard(&self, collective: &Collective) {
        *self.collective.lock() = Some(collective.clone());
    }

    /// Waits for the reason of a failed transfer: a rank that gives no sign of life, or is behind this one.
    pub(crate) fn explain(&self) -> Option<Loss> {
        let patience = self.interval * (MISSING_SIGNS + 1);
        let begun = Instant::now();
        while begun.elapsed() < patience {
            if let Some(loss) = self.loss().cloned().or_else(|| self.silent(self.interval * MISSING_SIGNS)) {
                return Some(loss);
            }
            std::thread::sleep(PAUSE);
        }
        self.loss().cloned().or_else(|| self.late())
    }

    /// Returns a rank that has given no sign of life for this long.
    fn silent(&self, longer_than: Duration) -> Option<Loss> {
        self.seen.lock().iter().enumerate().find_map(|(rank, seen)| {
            let Seen { at, step, doing, .. } = seen.as_ref()?;
            let silence = at.elapsed();
            (silence > longer_than).then(|| Loss {
                rank,
                what: format!(
                    "has given no sign of life for {:.0} s; it was at step {step}{doing}",
                    silence.as_secs_f64()
                ),
            })
        })
    }

    /// Returns a rank whose newest sign tells of an earlier step than this rank's, or of fewer operations.
    fn late(&self) -> Option<Loss> {
        let mine = (self.step.load(Ordering::Relaxed), self.operations());
        self.seen.lock().iter().enumerate().find_map(|(rank, seen)| {
            let Seen { step, operations, doing, .. } = seen.as_ref()?;
            ((*step, *operations) < mine).then(|| Loss {
                rank,
                what: match mine.0 {
                    same if same == *step => {
                        format!("is late in step {step}{doing}, where the others wait for it")
                    }
                    later => {
                        format!("is late: it is at step {step}{doing}, and the others wait at step {later}")
                    }
                },
            })
        })
    }

    /// Returns the number of operations with the other ranks that this one has begun.
    fn operations(&self) -> u64 {
        self.collective.lock().as_ref().map_or(0, Collective::begun)
    }

    fn lose(&self, loss: Loss) {
        if self.loss.set(loss).is_ok()
            && let Some(collective) = self.collective.lock().take()
        {
            collective.abort();
        }
    }
}

/// The thread that gives and looks for signs of life. It ends when the value is dropped.
#[derive(Debug)]
pub(crate) struct Watch {
    signs: Arc<Signs>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    pub(crate) fn start(store: Store, rank: usize, signs: &Arc<Signs>) -> std::io::Result<Self> {
        let shared = Arc::clone(signs);
        let thread = std::thread::Builder::new()
            .name("kasmina-ranks".to_owned())
            .spawn(move || watch(&store, rank, &shared))?;
        Ok(Self { signs: Arc::clone(signs), thread: Some(thread) })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.signs.ended.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn watch(store: &Store, rank: usize, signs: &Signs) {
    let mut count = 0_u64;
    while !signs.ended.load(Ordering::Relaxed) {
        count += 1;
        let doing = signs.doing.lock().clone().unwrap_or_default();
        let text = format!("{count} {} {} {doing}", signs.step.load(Ordering::Relaxed), signs.operations());
        if let Err(error) =
            store.set(&Peer::sign(rank), text.as_bytes()).and_then(|()| look(store, rank, signs))
        {
            let what = format!("cannot be heard: the store of the ranks does not answer ({error})");
            if !signs.ended.load(Ordering::Relaxed) {
                signs.lose(Loss { rank: 0, what });
            }
            return;
        }
        let begun = Instant::now();
        while begun.elapsed() < signs.interval && !signs.ended.load(Ordering::Relaxed) {
            std::thread::sleep(PAUSE);
        }
    }
}

/// Looks for the signs of all other ranks.
fn look(store: &Store, rank: usize, signs: &Signs) -> kasmina_torch_ext::Result<()> {
    let size = signs.seen.lock().len();
    for other in (0..size).filter(|other| *other != rank) {
        let read = |key: String| -> kasmina_torch_ext::Result<Option<String>> {
            if !store.contains(&key)? {
                return Ok(None);
            }
            Ok(Some(String::from_utf8_lossy(&store.get(&key, signs.limit)?).into_owned()))
        };
        if let Some(why) = read(Peer::gone(other))? {
            signs.lose(Loss { rank: other, what: format!("ended: {why}") });
        }
        if store.contains(&Peer::left(other))? {
            signs.seen.lock()[other] = None;
            continue;
        }
        let text = read(Peer::sign(other))?.unwrap_or_default();
        if let Some(seen) = &mut signs.seen.lock()[other]
            && seen.text != text
        {
            let mut words = text.splitn(4, ' ').skip(1);
            let mut number = || words.next().and_then(|word| word.parse().ok()).unwrap_or(0);
            let (step, operations) = (number(), number());
            let doing = words.next().filter(|doing| !doing.is_empty());
            let doing = doing.map_or_else(String::new, |doing| format!(", in {doing}"));
            *seen = Seen { text, at: Instant::now(), step, operations, doing };
        }
    }
    if let Some(loss) = signs.silent(signs.limit) {
        signs.lose(loss);
    }
    Ok(())
}
