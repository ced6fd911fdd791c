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

/// What is lost, and why.
#[derive(Debug, Clone)]
pub(crate) enum Loss {
    /// A rank.
    Rank { rank: usize, what: String },
    /// The store.
    Store { reason: String },
}

/// What the watching thread and the training thread share.
#[derive(Debug)]
pub(crate) struct Signs {
    /// Number of this rank's training steps.
    step: AtomicU64,
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
    progress: Progress,
}

/// How far a rank is in its run, and since when.
#[derive(Debug, Clone, Copy)]
struct Progress {
    /// Number of training steps, and number of operations that the rank has begun.
    reached: (u64, u64),
    since: Instant,
}

impl Progress {
    fn new(now: Instant) -> Self {
        Self { reached: (0, 0), since: now }
    }

    /// Sets how far the rank is now.
    fn set(&mut self, reached: (u64, u64)) {
        if self.reached != reached {
            *self = Self { reached, since: Instant::now() };
        }
    }
}

impl Signs {
    pub(crate) fn new(size: usize, rank: usize, limit: Duration) -> Self {
        let now = Instant::now();
        let seen = |other| {
            (other != rank).then(|| Seen { text: String::new(), at: now, progress: Progress::new(now) })
        };
        Self {
            step: AtomicU64::new(0),
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

    /// Aborts these connections when a rank is lost.
    pub(crate) fn guard(&self, collective: &Collective) {
        *self.collective.lock() = Some(collective.clone());
    }

    /// Waits for the reason of a failed transfer: a rank that gives no sign of life, or is behind this one.
    /// That rank is lost from then on.
    pub(crate) fn explain(&self) -> Option<Loss> {
        let found = self.reason()?;
        // The watching thread aborts the connections.
        let _ = self.loss.set(found);
        self.loss().cloned()
    }

    fn reason(&self) -> Option<Loss> {
        let begun = Instant::now();
        while begun.elapsed() < self.patience() {
            if let Some(loss) = self.loss().cloned().or_else(|| self.silent(self.interval * MISSING_SIGNS)) {
                return Some(loss);
            }
            std::thread::sleep(PAUSE);
        }
        self.loss().cloned().or_else(|| self.late(Duration::ZERO))
    }

    /// Returns the time after which a rank that gives no signs is certain to be lost.
    fn patience(&self) -> Duration {
        self.interval * (MISSING_SIGNS + 1)
    }

    /// Returns a rank that has given no sign of life for this long.
    fn silent(&self, longer_than: Duration) -> Option<Loss> {
        self.seen.lock().iter().enumerate().find_map(|(rank, seen)| {
            let Seen { at, progress: Progress { reached: (step, _), .. }, .. } = seen.as_ref()?;
            let silence = at.elapsed();
            (silence > longer_than).then(|| Loss::Rank {
                rank,
                what: format!(
                    "has given no sign of life for {:.0} s; it was at step {step}",
                    silence.as_secs_f64()
                ),
            })
        })
    }

    /// Returns a rank whose newest sign tells of an earlier step than this rank's, or of fewer operations,
    /// and has done so for at least this time.
    fn late(&self, at_least: Duration) -> Option<Loss> {
        let mine = self.reached();
        self.seen.lock().iter().enumerate().find_map(|(rank, seen)| {
            let Progress { reached, since } = seen.as_ref()?.progress;
            (reached < mine && since.elapsed() >= at_least).then(|| Loss::Rank {
                rank,
                what: match (reached.0, mine.0) {
                    (step, same) if step == same => {
                        format!("is late in step {step}, where the others wait for it")
                    }
                    (step, later) => {
                        format!("is late: it is at step {step}, and the others wait at step {later}")
                    }
                },
            })
        })
    }

    /// Returns a rank that is late, if this rank has made no progress for longer than the limit. The training
    /// thread cannot notice such a rank while it is blocked because the queue of its GPU is full.
    fn stuck(&self, own: Progress) -> Option<Loss> {
        let longest = self.limit + self.patience();
        if own.since.elapsed() > longest { self.late(longest) } else { None }
    }

    /// Returns the number of training steps of this rank, and of its operations.
    fn reached(&self) -> (u64, u64) {
        (self.step.load(Ordering::Relaxed), self.operations())
    }

    /// Returns the number of operations with the other ranks that this one has begun.
    fn operations(&self) -> u64 {
        self.collective.lock().as_ref().map_or(0, Collective::begun)
    }

    fn lose(&self, loss: Loss) {
        let _ = self.loss.set(loss);
        self.abort();
    }

    /// Aborts the connections if something is lost. Another thread may be inside an operation, so the
    /// watching thread repeats it until it has succeeded.
    fn abort(&self) {
        if self.loss().is_none() {
            return;
        }
        // Aborting waits for captured steps to be dropped, so it must not hold the lock.
        let Some(collective) = self.collective.lock().take() else { return };
        if !collective.abort() {
            *self.collective.lock() = Some(collective);
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
    let (mut count, mut own) = (0_u64, Progress::new(Instant::now()));
    let has_ended = || signs.ended.load(Ordering::Relaxed);
    while !has_ended() {
        count += 1;
        own.set(signs.reached());
        let (step, operations) = own.reached;
        let text = format!("{count} {step} {operations}");
        if let Err(error) =
            store.set(&Peer::sign(rank), text.as_bytes()).and_then(|()| look(store, rank, signs))
        {
            if !has_ended() {
                signs.lose(Loss::Store { reason: error.to_string() });
            }
            break;
        }
        if let Some(loss) = signs.silent(signs.limit).or_else(|| signs.stuck(own)) {
            signs.lose(loss);
        }
        let begun = Instant::now();
        while begun.elapsed() < signs.interval && !has_ended() {
            std::thread::sleep(PAUSE);
            signs.abort();
        }
    }
    while !has_ended() {
        std::thread::sleep(PAUSE);
        signs.abort();
    }
}

/// Reads the signs of all other ranks.
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
            signs.lose(Loss::Rank { rank: other, what: format!("ended: {why}") });
        }
        if store.contains(&Peer::left(other))? {
            signs.seen.lock()[other] = None;
            continue;
        }
        let text = read(Peer::sign(other))?.unwrap_or_default();
        if let Some(seen) = &mut signs.seen.lock()[other]
            && seen.text != text
        {
            let mut words = text.split(' ').skip(1);
            let mut number = || words.next().and_then(|word| word.parse().ok()).unwrap_or(0);
            let reached = (number(), number());
            (seen.text, seen.at) = (text, Instant::now());
            seen.progress.set(reached);
        }
    }
    Ok(())
}
