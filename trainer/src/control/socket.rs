//! The socket: its owner's, and nobody else's.

use super::message::{ControlMessage, Reply, Request, SOCKET};
use super::watchdog::Watchdog;
use crate::error::TrainError;
use kasmina_registry::Registry;
use std::fs::{File, Permissions};
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;

/// How often the listener looks whether the run is over.
const LOOK: Duration = Duration::from_millis(50);
/// The longest line that is read.
const LINE: u64 = 1 << 16;
/// How long a client may take to say what it wants.
const PATIENCE: Duration = Duration::from_secs(10);

/// A run's open socket; it goes with this value.
pub(crate) struct Listener {
    listener: UnixListener,
    path: PathBuf,
}

impl Listener {
    /// Opens it in a run directory.
    pub(crate) fn open(run: &Path) -> Result<Self, TrainError> {
        let path = run.join(SOCKET);
        let wrong = |e: std::io::Error| TrainError::RunDir {
            path: path.clone(),
            reason: format!("its socket cannot be opened: {e}"),
        };
        // Of a run that was killed here: nobody listens there any more.
        let _ = std::fs::remove_file(&path);
        // A socket's path has room for a hundred bytes; through its folder's handle it is always short.
        let folder = File::open(run).map_err(wrong)?;
        let short = format!("/proc/self/fd/{}/{SOCKET}", folder.as_raw_fd());
        let listener = UnixListener::bind(short).map_err(wrong)?;
        std::fs::set_permissions(&path, Permissions::from_mode(0o600)).map_err(wrong)?;
        listener.set_nonblocking(true).map_err(wrong)?;
        Ok(Self { listener, path })
    }

    /// Hears clients out until the run is over.
    pub(crate) fn serve(
        &self,
        registry: &Registry,
        run: &Sender<ControlMessage>,
        (watchdog, over): (&Watchdog, &AtomicBool),
    ) {
        std::thread::scope(|scope| {
            while !over.load(Ordering::Relaxed) {
                match self.listener.accept() {
                    Ok((client, _)) if is_own(&client) => {
                        let run = run.clone();
                        scope.spawn(move || hear(&client, registry, &run, (watchdog, over)));
                    }
                    Ok(_) => {}
                    Err(e) if e.kind() == ErrorKind::WouldBlock => std::thread::sleep(LOOK),
                    Err(error) => {
                        tracing::warn!("the run's socket fails: {error}");
                        break;
                    }
                }
            }
        });
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

/// One client, one request.
fn hear(
    client: &UnixStream,
    registry: &Registry,
    run: &Sender<ControlMessage>,
    state: (&Watchdog, &AtomicBool),
) {
    let reply =
        answer(client, registry, run, state).unwrap_or_else(|error| Reply::Refused { error, help: None });
    let _ = client.set_nonblocking(false);
    if let Ok(line) = serde_json::to_string(&reply) {
        let _ = writeln!(&mut &*client, "{line}");
    }
}

fn answer(
    client: &UnixStream,
    registry: &Registry,
    run: &Sender<ControlMessage>,
    (watchdog, over): (&Watchdog, &AtomicBool),
) -> Result<Reply, String> {
    client
        .set_nonblocking(false)
        .and_then(|()| client.set_read_timeout(Some(PATIENCE)))
        .map_err(|e| e.to_string())?;
    let mut line = String::new();
    BufReader::new(client.take(LINE)).read_line(&mut line).map_err(|e| e.to_string())?;
    let request: Request = serde_json::from_str(&line).map_err(|e| format!("that is no request ({e})"))?;
    let (reply, replied) = channel();
    let message = match request {
        Request::Swap { path } => {
            let staged = registry.stage(&path);
            ControlMessage::Build(path, Box::new(staged), Some(reply))
        }
        request => ControlMessage::Request(request, reply),
    };
    let ended = || "the run is over".to_owned();
    run.send(message).map_err(|_| ended())?;
    loop {
        match replied.recv_timeout(PATIENCE) {
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
    }
}
