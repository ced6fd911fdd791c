//! Ranks as threads of one process, for tests.

use super::{Collective, Group, Store};
use std::time::Duration;
use tch::Device;

/// Runs `body` on each of `size` ranks, which are connected on the CPU; returns the results by rank.
pub(super) fn on_ranks<T: Send>(
    size: usize,
    ordered: bool,
    body: impl Fn(usize, &Collective) -> T + Sync,
) -> Vec<T> {
    let timeout = Duration::from_secs(20);
    let server = Store::connect("127.0.0.1", 0, true, "test", timeout).unwrap();
    let port = server.port();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..size)
            .map(|rank| {
                let body = &body;
                scope.spawn(move || {
                    let store = Store::connect("127.0.0.1", port, false, "test", timeout).unwrap();
                    let group =
                        Group { rank, size, device: Device::Cpu, host: Some("127.0.0.1"), timeout, ordered };
                    let collective = Collective::connect(&store, &group).unwrap();
                    body(rank, &collective)
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}
