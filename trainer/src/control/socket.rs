//! The socket: its owner's, and nobody else's.

use super::line::{Line, ReadError};
use super::message::{ControlMessage, Reply, Request, SOCKET};
use super::watchdog::Watchdog;
use kasmina_registry::Registry;
use std::fs::{File, Permissions};
use std::io::{ErrorKind, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

/// How often the listener looks whether the run is over.
const LOOK: Duration = Duration::from_millis(50);
/// How many clients are heard at the same time.
const MOST_CLIENTS: usize = 16;
/// How long a client may take to say what it wants, all of it, and to read the answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often a client that waits is told that the run is still there.
pub(super) const SIGN_OF_LIFE: Duration = Duration::from_secs(5);

/// A run's open socket; it goes with this value.
pub(crate) struct Listener {
    listener: UnixListener,
    path: PathBuf,
}

impl Listener {
    /// Opens it in a run directory.
    pub(crate) fn open(run: &Path) -> std::io::Result<Self> {
        let path = run.join(SOCKET);
        // Of a run that was killed here: nobody listens there any more.
        let _ = std::fs::remove_file(&path);
        // A socket's path has room for a hundred bytes; through its folder's handle it is always short.
        let folder = File::open(run)?;
        let short = format!("/proc/self/fd/{}/{SOCKET}", folder.as_raw_fd());
        let listener = UnixListener::bind(short)?;
        std::fs::set_permissions(&path, Permissions::from_mode(0o600))?;
        listener.set_nonblocking(true)?;
        Ok(Self { listener, path })
    }

    /// Answers clients until the run is over.
    pub(crate) fn serve(
        &self,
        registry: &Registry,
        run: &Sender<ControlMessage>,
        (watchdog, over): (&Watchdog, &AtomicBool),
    ) {
        let clients = AtomicUsize::new(0);
        let clients = &clients;
        let mut told = false;
        std::thread::scope(|scope| {
            while !over.load(Ordering::Relaxed) {
                let client = match self.listener.accept() {
                    Ok((client, _)) if is_own(&client) => client,
                    Ok(_) => continue,
                    Err(error) => {
                        // Too many open files, say: that passes.
                        if error.kind() != ErrorKind::WouldBlock && !std::mem::replace(&mut told, true) {
                            tracing::warn!("the run's socket fails, it is tried again: {error}");
                        }
                        std::thread::sleep(LOOK);
                        continue;
                    }
                };
                let busy = |why: String| {
                    let help = Some("try again in a moment".to_owned());
                    tell(&client, &Reply::Refused { error: why, help });
                };
                if clients.load(Ordering::Relaxed) >= MOST_CLIENTS {
                    busy(format!("{MOST_CLIENTS} clients are being heard already"));
                    continue;
                }
                let one = OneMore::of(clients);
                let (run, heard) = (run.clone(), client.try_clone());
                let started = heard.and_then(|heard| {
                    let body = move || {
                        let _one = one;
                        hear(&heard, registry, &run, (watchdog, over));
                    };
                    std::thread::Builder::new().name("client".to_owned()).spawn_scoped(scope, body)
                });
                if let Err(error) = started {
                    busy(format!("the run cannot start a thread to hear you: {error}"));
                }
            }
        });
    }
}

/// A client in the count of those that are heard.
struct OneMore<'c>(&'c AtomicUsize);

impl<'c> OneMore<'c> {
    fn of(count: &'c AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for OneMore<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Whether the other side runs as who we are.
fn is_own(client: &UnixStream) -> bool {
    let own = rustix::process::geteuid();
    rustix::net::sockopt::socket_peercred(client).is_ok_and(|peer| peer.uid == own)
}

/// Answers the one request of a client.
fn hear(
    client: &UnixStream,
    registry: &Registry,
    run: &Sender<ControlMessage>,
    state: (&Watchdog, &AtomicBool),
) {
    let reply =
        answer(client, registry, run, state).unwrap_or_else(|error| Reply::Refused { error, help: None });
    tell(client, &reply);
}

/// Writes an answer. A client that does not read it is not waited for.
fn tell(client: &UnixStream, reply: &Reply) {
    let ready = client.set_nonblocking(false).and_then(|()| client.set_write_timeout(Some(PATIENCE)));
    if let (Ok(()), Ok(line)) = (ready, serde_json::to_string(reply)) {
        let _ = writeln!(&mut &*client, "{line}");
    }
}

fn answer(
    client: &UnixStream,
    registry: &Registry,
    run: &Sender<ControlMessage>,
    (watchdog, over): (&Watchdog, &AtomicBool),
) -> Result<Reply, String> {
    client.set_nonblocking(false).map_err(|e| e.to_string())?;
    client.set_write_timeout(Some(PATIENCE)).map_err(|e| e.to_string())?;
    let ended = || "the run is over".to_owned();
    let line = Line::new(client).within(PATIENCE).until(over).read().map_err(|error| match error {
        ReadError::TooLate => format!("no request within {} s", PATIENCE.as_secs()),
        ReadError::Over => ended(),
        other => other.to_string(),
    })?;
    let request: Request = serde_json::from_str(&line).map_err(|e| format!("that is no request ({e})"))?;
    let reply = with_signs_of_life(client, SIGN_OF_LIFE, |gone| {
        let (reply, replied) = channel();
        run.send(message(request, reply, registry)).map_err(|_| ended())?;
        wait(&replied, watchdog, (over, gone))
    });
    reply.map_err(|error| format!("the run cannot start a thread to answer you: {error}"))?
}

/// What the run is asked. A build is judged and tried first, which may take minutes.
fn message(request: Request, reply: Sender<Reply>, registry: &Registry) -> ControlMessage {
    match request {
        Request::Swap { path } => {
            let staged = registry.stage(&path);
            ControlMessage::Build(path, Box::new(staged), Some(reply))
        }
        request => ControlMessage::Request(request, reply),
    }
}

/// Waits for the answer of a run, which answers at its next safe point.
fn wait(
    replied: &Receiver<Reply>,
    watchdog: &Watchdog,
    (over, gone): (&AtomicBool, &AtomicBool),
) -> Result<Reply, String> {
    let ended = || "the run is over".to_owned();
    loop {
        match replied.recv_timeout(LOOK) {
            Ok(reply) => return Ok(reply),
            Err(RecvTimeoutError::Disconnected) => return Err(ended()),
            Err(RecvTimeoutError::Timeout) if over.load(Ordering::Relaxed) => return Err(ended()),
            // A prune waits for the end of an epoch; but who is stuck will never answer.
            Err(RecvTimeoutError::Timeout) => {
                if let Some((call, since)) = watchdog.stuck().filter(|(_, since)| *since >= PATIENCE) {
                    return Err(format!(
                        "the run is stuck: {call} has not come back for {:.0} s",
                        since.as_secs_f64()
                    ));
                }
            }
        }
        if gone.load(Ordering::Relaxed) {
            return Err("the client has gone".to_owned());
        }
    }
}

/// Does work that may take minutes, and sends the client an empty line at every interval meanwhile: the run
/// is still there. The work can see whether the client has gone.
fn with_signs_of_life<T>(
    client: &UnixStream,
    every: Duration,
    work: impl FnOnce(&AtomicBool) -> T,
) -> std::io::Result<T> {
    let (done, is_done) = channel::<()>();
    let gone = &AtomicBool::new(false);
    std::thread::scope(|scope| {
        let tell = move || {
            while is_done.recv_timeout(every) == Err(RecvTimeoutError::Timeout) {
                if writeln!(&mut &*client).is_err() {
                    gone.store(true, Ordering::Relaxed);
                    return;
                }
            }
        };
        std::thread::Builder::new().name("sign of life".to_owned()).spawn_scoped(scope, tell)?;
        let result = work(gone);
        // The thread ends now, and before the answer is written.
        drop(done);
        Ok(result)
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]

    use super::*;
    use std::io::Read as _;

    #[test]
    fn a_client_is_told_of_life_while_work_goes_on_and_not_after() {
        let (run, mut client) = UnixStream::pair().unwrap();
        let every = Duration::from_millis(2);
        let first = with_signs_of_life(&run, every, |_| {
            let mut byte = [0];
            client.read_exact(&mut byte).unwrap();
            byte
        });
        assert_eq!(first.unwrap(), *b"\n");
        drop(run);
        let mut rest = String::new();
        client.read_to_string(&mut rest).unwrap();
        assert_eq!(rest.trim(), "", "nothing but signs of life");
    }

    #[test]
    fn work_is_told_that_its_client_has_gone() {
        let (run, client) = UnixStream::pair().unwrap();
        drop(client);
        let told = with_signs_of_life(&run, Duration::from_millis(2), |gone| {
            while !gone.load(Ordering::Relaxed) {
                std::thread::yield_now();
            }
            true
        });
        assert!(told.unwrap());
    }
}
