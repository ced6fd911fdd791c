//! Passes the verified bytes of a module to the host that this thread builds.

use kasmina_plugin_api::{PluginError, Result};
use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::rc::Rc;

thread_local! {
    /// The verified bytes from which this thread builds a host, and the path in its configuration.
    static VERIFIED: RefCell<Option<(PathBuf, Rc<Vec<u8>>)>> = const { RefCell::new(None) };
}

/// Makes the bytes of a verified module available to the host that this thread builds, until it is dropped.
pub(crate) struct ModuleBytesGuard {
    /// The value before, which is restored on drop.
    before: Option<(PathBuf, Rc<Vec<u8>>)>,
    bytes: Rc<Vec<u8>>,
}

impl ModuleBytesGuard {
    pub(super) fn new(path: PathBuf, bytes: Vec<u8>) -> Self {
        let bytes = Rc::new(bytes);
        Self { before: VERIFIED.replace(Some((path, Rc::clone(&bytes)))), bytes }
    }

    /// Returns the verified bytes.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.bytes.to_vec()
    }
}

impl Drop for ModuleBytesGuard {
    fn drop(&mut self) {
        VERIFIED.set(self.before.take());
    }
}

/// Returns the bytes of the module that a configuration names.
///
/// # Errors
/// If the module was not verified. The file is never read here.
pub(super) fn verified_bytes(named: &Path) -> Result<Rc<Vec<u8>>> {
    let bytes = VERIFIED
        .with_borrow(|entry| entry.as_ref().filter(|(path, _)| path == named).map(|(_, b)| Rc::clone(b)));
    bytes.ok_or_else(|| {
        PluginError::config(format!("{}: the registry has not verified the module", named.display()))
    })
}
