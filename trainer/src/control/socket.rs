//! The control socket of a live run. Only the user who owns the run can use it.

use super::line::{LineReader, ReadError};
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

/// Time between two checks whether the run is over.
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// Maximum number of clients at the same time.
const MAX_CLIENTS: usize = 16;
/// Time that a client has to send its whole request, and to read the reply. Also the time after which a call
/// into a plugin that has not returned counts as stuck for waiting clients.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Time between two keep-alives (empty lines) to a client that waits for its reply.
pub(super) const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(5);

/// The open socket of a run. Dropping it removes the socket.
pub(crate) struct Listener {
    listener: UnixListener,
    path: PathBuf,
}

impl Listener {
    /// Opens the socket in a run directory.
    pub(crate) fn open(run: &Path) -> std::io::Result<Self> {
        let path = run.join(SOCKET);
        // A run that was killed leaves its socket behind.
        let _ = std::fs::remove_file(&path);
        // The path of a socket is limited to about 100 bytes; a path through the folder's handle is always
        // short.
        let folder = File::open(run)?;
        let short_path = format!("/proc/self/fd/{}/{SOCKET}", folder.as_raw_fd());
        let listener = UnixListener::bind(short_path)?;
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
        let mut warned = false;
        std::thread::scope(|scope| {
            while !over.load(Ordering::Relaxed) {
                let client = match self.listener.accept() {
                    Ok((client, _)) if is_same_user(&client) => client,
                    Ok(_) => continue,
                    Err(error) => {
                        // Errors such as too many open files are temporary.
                        if error.kind() != ErrorKind::WouldBlock && !std::mem::replace(&mut warned, true) {
                            tracing::warn!("accepting a client failed; it will be tried again: {error}");
                        }
                        std::thread::sleep(POLL_INTERVAL);
                        continue;
                    }
                };
                let busy = |why: String| {
                    let help = Some("try again in a moment".to_owned());
                    send_reply(&client, &Reply::Refused { error: why, help });
                };
                if clients.load(Ordering::Relaxed) >= MAX_CLIENTS {
                    busy(format!("{MAX_CLIENTS} clients are connected already"));
                    continue;
                }
                let counted = CountedClient::new(clients);
                let (run, stream) = (run.clone(), client.try_clone());
                let started = stream.and_then(|stream| {
                    let body = move || {
                        let _counted = counted;
                        handle_client(&stream, registry, &run, (watchdog, over));
                    };
                    std::thread::Builder::new().name("client".to_owned()).spawn_scoped(scope, body)
                });
                if let Err(error) = started {
                    busy(format!("the run cannot start a thread for this client: {error}"));
                }
            }
        });
    }
}

/// Counts a client while it exists.
struct CountedClient<'c>(&'c AtomicUsize);

impl<'c> CountedClient<'c> {
    fn new(count: &'c AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for CountedClient<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Whether the client runs as the same user as this process.
fn is_same_user(client: &UnixStream) -> bool {
    let own = rustix::process::geteuid();
    rustix::net::sockopt::socket_peercred(client).is_ok_and(|peer| peer.uid == own)
}

/// Reads one request of a client and replies to it.
fn handle_client(
    client: &UnixStream,
    registry: &Registry,
    run: &Sender<ControlMessage>,
    state: (&Watchdog, &AtomicBool),
) {
    let reply =
        answer(client, registry, run, state).unwrap_or_else(|error| Reply::Refused { error, help: None });
    send_reply(client, &reply);
}

/// Sends a reply. A client that does not read it in time is ignored.
fn send_reply(client: &UnixStream, reply: &Reply) {
    let ready = client.set_nonblocking(false).and_then(|()| client.set_write_timeout(Some(TIMEOUT)));
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
    client.set_write_timeout(Some(TIMEOUT)).map_err(|e| e.to_string())?;
    let ended = || "the run is over".to_owned();
    let line =
        LineReader::new(client).with_timeout(TIMEOUT).until(over).read().map_err(|error| match error {
            ReadError::Timeout => format!("no request within {} s", TIMEOUT.as_secs()),
            ReadError::Stopped => ended(),
            other => other.to_string(),
        })?;
    let request: Request = serde_json::from_str(&line).map_err(|e| format!("invalid request: {e}"))?;
    let reply = with_keep_alives(client, KEEP_ALIVE_INTERVAL, |gone| {
        let (reply, replied) = channel();
        run.send(message(request, reply, registry)).map_err(|_| ended())?;
        wait_for_reply(&replied, watchdog, (over, gone))
    });
    reply.map_err(|error| format!("the run cannot start a thread for this client: {error}"))?
}

/// Returns the message for the training thread. The build of a `swap` is checked and tried first, which may
/// take minutes.
fn message(request: Request, reply: Sender<Reply>, registry: &Registry) -> ControlMessage {
    match request {
        Request::Swap { path } => {
            let staged = registry.stage(&path);
            ControlMessage::Build(path, Box::new(staged), Some(reply))
        }
        request => ControlMessage::Request(request, reply),
    }
}

/// Waits for the reply of the training thread, which reads its queue between two steps.
fn wait_for_reply(
    replied: &Receiver<Reply>,
    watchdog: &Watchdog,
    (over, gone): (&AtomicBool, &AtomicBool),
) -> Result<Reply, String> {
    let ended = || "the run is over".to_owned();
    loop {
        match replied.recv_timeout(POLL_INTERVAL) {
            Ok(reply) => return Ok(reply),
            Err(RecvTimeoutError::Disconnected) => return Err(ended()),
            Err(RecvTimeoutError::Timeout) if over.load(Ordering::Relaxed) => return Err(ended()),
            // A prune may wait for the whole epoch, but a run that is stuck in a plugin will never reply.
            Err(RecvTimeoutError::Timeout) => {
                if let Some((call, since)) = watchdog.stuck().filter(|(_, since)| *since >= TIMEOUT) {
                    return Err(format!(
                        "the run is stuck: {call} has not returned for {:.0} s",
                        since.as_secs_f64()
                    ));
                }
            }
        }
        if gone.load(Ordering::Relaxed) {
            return Err("the client has disconnected".to_owned());
        }
    }
}

/// Does work that may take minutes, and sends the client an empty line at every `interval` meanwhile. The
/// work gets a flag that is set when the client disconnects.
fn with_keep_alives<T>(
    client: &UnixStream,
    interval: Duration,
    work: impl FnOnce(&AtomicBool) -> T,
) -> std::io::Result<T> {
    let (done, is_done) = channel::<()>();
    let gone = &AtomicBool::new(false);
    std::thread::scope(|scope| {
        let send = move || {
            while is_done.recv_timeout(interval) == Err(RecvTimeoutError::Timeout) {
                if writeln!(&mut &*client).is_err() {
                    gone.store(true, Ordering::Relaxed);
                    return;
                }
            }
        };
        std::thread::Builder::new().name("keep-alive".to_owned()).spawn_scoped(scope, send)?;
        let result = work(gone);
        // The scope waits for the thread to end, so that no keep-alive follows the reply.
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
    fn keep_alives_are_sent_during_work_and_not_after_it() {
        let (run, mut client) = UnixStream::pair().unwrap();
        let interval = Duration::from_millis(2);
        let first = with_keep_alives(&run, interval, |_| {
            let mut byte = [0];
            client.read_exact(&mut byte).unwrap();
            byte
        });
        assert_eq!(first.unwrap(), *b"\n");
        drop(run);
        let mut rest = String::new();
        client.read_to_string(&mut rest).unwrap();
        assert_eq!(rest.trim(), "", "nothing but keep-alives");
    }

    #[test]
    fn work_is_notified_when_its_client_disconnects() {
        let (run, client) = UnixStream::pair().unwrap();
        drop(client);
        let notified = with_keep_alives(&run, Duration::from_millis(2), |gone| {
            while !gone.load(Ordering::Relaxed) {
                std::thread::yield_now();
            }
            true
        });
        assert!(notified.unwrap());
    }
}
