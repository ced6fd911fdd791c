//! The key-value store of torch.distributed (c10d `TCPStore`), through which ranks find each other.
//!
//! The store is not authenticated: whoever reaches its port can read and write it.

use super::worker::Worker;
use crate::error::{Error, Result};
use crate::ffi;
use std::ffi::{CString, c_void};
use std::net::{SocketAddr, TcpListener, ToSocketAddrs as _};
use std::os::fd::IntoRawFd as _;
use std::time::Duration;

/// A connection to a store. Keys begin with the prefix of the connection.
///
/// Each operation runs on a thread of the connection, because libtorch waits without a limit for a host that
/// is stopped in the middle of one.
#[derive(Debug)]
pub struct Store {
    worker: Worker<Handle>,
    port: u16,
    /// Longest time of an operation, which excludes the time that it waits for a value.
    limit: Duration,
}

/// A handle of libtorch on a store.
#[derive(Debug)]
pub(super) struct Handle(*mut c_void);

// SAFETY: the connection is behind a lock of its own in libtorch, and the handle is counted with atomics.
unsafe impl Send for Handle {}

impl Handle {
    /// Returns the pointer, for calls of the shim.
    pub(super) fn raw(&self) -> *mut c_void {
        self.0
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: made by `kte_store_new` or `kte_store_clone`, and not used again.
        unsafe { ffi::kte_store_free(self.0) }
    }
}

impl Store {
    /// Connects to the store of a host. If `serves` is set, this process serves it, on a port that the system
    /// chooses if `port` is 0: for this machine only if `host` is a loopback address, otherwise on every
    /// address.
    ///
    /// # Errors
    /// If the store is not reached within the time, or the port is in use.
    pub fn connect(host: &str, port: u16, serves: bool, prefix: &str, timeout: Duration) -> Result<Self> {
        // libtorch listens on every address, which only ranks of other machines need.
        let listener = if serves { local_listener(host, port)? } else { None };
        let port = listener.as_ref().map_or(port, |(_, port)| *port);
        let (host, prefix) = (text(host)?, text(prefix)?);
        let open = move || {
            let listener = listener.map_or(-1, |(listener, _)| listener.into_raw_fd());
            let (mut found, mut raw) = (0, std::ptr::null_mut());
            // SAFETY: the texts are NUL-terminated and live for the call; both output pointers are valid.
            ffi::check(unsafe {
                ffi::kte_store_new(
                    host.as_ptr(),
                    port,
                    serves,
                    listener,
                    prefix.as_ptr(),
                    milliseconds(timeout),
                    &raw mut found,
                    &raw mut raw,
                )
            })?;
            Ok((Handle(raw), found))
        };
        let (worker, port) = Worker::start(open, timeout)?;
        Ok(Self { worker, port, limit: timeout })
    }

    /// Sets the longest time of an operation; at first it is the time that [`connect`](Self::connect) had.
    pub fn set_limit(&mut self, limit: Duration) {
        self.limit = limit;
    }

    /// Runs a function with the handle of libtorch, and waits for it no longer than `time`.
    pub(super) fn call<T: Send + 'static>(
        &self,
        time: Duration,
        run: impl FnOnce(&Handle) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.worker.call(time, run)
    }

    /// Returns the port of the store.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns another connection to the same store, for another thread.
    ///
    /// # Errors
    /// If the store is not reached.
    pub fn another(&self) -> Result<Self> {
        let clone = self.call(self.limit, |handle| {
            let mut raw = std::ptr::null_mut();
            // SAFETY: the store is live; the output pointer is valid.
            ffi::check(unsafe { ffi::kte_store_clone(handle.raw(), &raw mut raw) })?;
            Ok(Handle(raw))
        })?;
        let (worker, ()) = Worker::start(move || Ok((clone, ())), self.limit)?;
        Ok(Self { worker, port: self.port, limit: self.limit })
    }

    /// Sets the value of a key.
    ///
    /// # Errors
    /// If the store does not answer.
    pub fn set(&self, key: &str, value: &[u8]) -> Result<()> {
        let (key, value) = (text(key)?, value.to_vec());
        self.call(self.limit, move |handle| {
            // SAFETY: the store is live; key and value live for the call, which copies the value.
            ffi::check(unsafe {
                ffi::kte_store_set(handle.raw(), key.as_ptr(), value.as_ptr().cast(), value.len())
            })
        })
    }

    /// Waits until a key has a value, and returns it.
    ///
    /// # Errors
    /// If there is no value within the time, or the store does not answer.
    pub fn get(&self, key: &str, timeout: Duration) -> Result<Vec<u8>> {
        let key = text(key)?;
        self.call(timeout.saturating_add(self.limit), move |handle| {
            // SAFETY: the store is live; the key lives for the call; `write` matches `context`.
            ffi::collect_bytes(|write, context| unsafe {
                ffi::kte_store_get(handle.raw(), key.as_ptr(), milliseconds(timeout), write, context)
            })
        })
    }

    /// Adds to the number under a key, which begins at 0, and returns the sum.
    ///
    /// # Errors
    /// If the store does not answer.
    pub fn add(&self, key: &str, amount: i64) -> Result<i64> {
        let key = text(key)?;
        self.call(self.limit, move |handle| {
            let mut sum = 0;
            // SAFETY: the store is live; the key lives for the call; the output pointer is valid.
            ffi::check(unsafe { ffi::kte_store_add(handle.raw(), key.as_ptr(), amount, &raw mut sum) })?;
            Ok(sum)
        })
    }

    /// Whether a key has a value.
    ///
    /// # Errors
    /// If the store does not answer.
    pub fn contains(&self, key: &str) -> Result<bool> {
        let key = text(key)?;
        self.call(self.limit, move |handle| {
            let mut found = false;
            // SAFETY: the store is live; the key lives for the call; the output pointer is valid.
            ffi::check(unsafe { ffi::kte_store_check(handle.raw(), key.as_ptr(), &raw mut found) })?;
            Ok(found)
        })
    }

    /// Removes a key, if it has a value.
    ///
    /// # Errors
    /// If the store does not answer.
    pub fn remove(&self, key: &str) -> Result<()> {
        let key = text(key)?;
        self.call(self.limit, move |handle| {
            // SAFETY: the store is live; the key lives for the call.
            ffi::check(unsafe { ffi::kte_store_delete(handle.raw(), key.as_ptr()) })
        })
    }
}

/// Returns a socket that listens on a loopback address, and its port; `None` if the host has another address.
fn local_listener(host: &str, port: u16) -> Result<Option<(TcpListener, u16)>> {
    let refused = |error: std::io::Error| Error::Torch(format!("{host}:{port}: {error}"));
    let addresses: Vec<SocketAddr> = (host, port).to_socket_addrs().map_err(refused)?.collect();
    let Some(address) = addresses.first().filter(|_| addresses.iter().all(|a| a.ip().is_loopback())) else {
        return Ok(None);
    };
    let listener = TcpListener::bind(address).map_err(refused)?;
    // libtorch waits for connections without blocking.
    listener.set_nonblocking(true).map_err(refused)?;
    let port = listener.local_addr().map_err(refused)?.port();
    Ok(Some((listener, port)))
}

fn text(text: &str) -> Result<CString> {
    CString::new(text).map_err(|error| Error::Torch(format!("invalid text for the store: {error}")))
}

pub(super) fn milliseconds(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_millis(300);

    fn server(prefix: &str) -> Store {
        Store::connect("localhost", 0, true, prefix, Duration::from_secs(10)).unwrap()
    }

    fn client(of: &Store, prefix: &str) -> Store {
        Store::connect("localhost", of.port(), false, prefix, Duration::from_secs(10)).unwrap()
    }

    #[test]
    fn values_are_seen_by_every_connection_of_the_prefix() {
        let first = server("run/0");
        let second = client(&first, "run/0");
        let other = client(&first, "run/1");
        first.set("key", b"\0value").unwrap();
        assert_eq!(second.get("key", SHORT).unwrap(), b"\0value");
        assert!(!other.contains("key").unwrap());
        assert_eq!((first.add("sum", 2).unwrap(), second.add("sum", 3).unwrap()), (2, 5));
        second.remove("key").unwrap();
        assert!(!first.contains("key").unwrap());
    }

    #[test]
    fn a_value_that_does_not_come_is_an_error_in_time() {
        let store = server("late");
        let started = std::time::Instant::now();
        assert!(store.get("never", SHORT).is_err());
        assert!(started.elapsed() < Duration::from_secs(5));
        let waiting = store.another().unwrap();
        let thread = std::thread::spawn(move || waiting.get("soon", Duration::from_secs(10)));
        store.set("soon", b"now").unwrap();
        assert_eq!(thread.join().unwrap().unwrap(), b"now");
    }

    #[test]
    fn a_port_in_use_and_a_host_without_store_are_errors() {
        let store = server("one");
        assert!(Store::connect("localhost", store.port(), true, "two", SHORT).is_err());
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        assert!(Store::connect("localhost", free, false, "none", SHORT).is_err());
    }

    /// A store for this machine cannot be reached by its other addresses.
    #[test]
    fn a_store_of_this_machine_listens_on_its_own_address_only() {
        let store = Store::connect("127.0.0.1", 0, true, "local", Duration::from_secs(10)).unwrap();
        let listening = std::fs::read_to_string("/proc/net/tcp").unwrap()
            + &std::fs::read_to_string("/proc/net/tcp6").unwrap_or_default();
        let port = format!(":{:04X}", store.port());
        let listens =
            |line: &&str| line.split_whitespace().nth(1).is_some_and(|local| local.ends_with(&port));
        let found: Vec<&str> =
            listening.lines().filter(listens).filter(|line| line.contains(" 0A ")).collect();
        assert!(found.len() == 1 && found[0].contains("0100007F:"), "{found:?}");
    }

    /// A program that accepts connections and never answers, as a stopped one does.
    #[test]
    fn a_host_that_does_not_answer_is_an_error_in_time() {
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = silent.local_addr().unwrap().port();
        let started = std::time::Instant::now();
        let error = Store::connect("127.0.0.1", port, false, "none", SHORT).unwrap_err().to_string();
        assert!(started.elapsed() < Duration::from_secs(5), "{error}");
    }
}
