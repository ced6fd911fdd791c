//! The store of ranks that a launcher starts.

use crate::error::RanksError;
use kasmina_torch_ext::ranks::Store;
use std::time::Duration;

/// Address of the store: all ranks are on this machine.
const HOST: &str = "127.0.0.1";

/// A store that a launcher serves, as long as the value lives.
#[derive(Debug)]
pub struct Server {
    store: Store,
}

impl Server {
    /// Serves a store on a free port of this machine.
    ///
    /// # Errors
    /// If there is no free port.
    pub fn start() -> Result<Self, RanksError> {
        let store = Store::connect(HOST, 0, true, "launch", Duration::from_mins(1)).map_err(|error| {
            let (host, reason) = (HOST.to_owned(), error.to_string());
            RanksError::Store { rank: 0, host, port: 0, serves: true, reason }
        })?;
        Ok(Self { store })
    }

    /// Returns the port of the store.
    pub fn port(&self) -> u16 {
        self.store.port()
    }
}
