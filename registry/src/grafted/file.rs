//! The bytes of a module that was judged, on their way into the host that is built of them.

use kasmina_plugin_api::{PluginError, Result};
use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::rc::Rc;

thread_local! {
    /// The judged bytes that this thread builds a host from, by the path that the configuration names.
    static JUDGED: RefCell<Option<(PathBuf, Rc<Vec<u8>>)>> = const { RefCell::new(None) };
}

/// Lends the bytes of a judged module to the host that this thread builds, until it is dropped.
pub(crate) struct Lent {
    before: Option<(PathBuf, Rc<Vec<u8>>)>,
}

impl Lent {
    pub(super) fn new(path: PathBuf, bytes: Vec<u8>) -> Self {
        Self { before: JUDGED.replace(Some((path, Rc::new(bytes)))) }
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        JUDGED.set(self.before.take());
    }
}

/// The bytes of the module that a configuration names. A file that nobody has judged is not read.
pub(super) fn judged(named: &Path) -> Result<Rc<Vec<u8>>> {
    let lent =
        JUDGED.with_borrow(|lent| lent.as_ref().filter(|(path, _)| path == named).map(|(_, b)| Rc::clone(b)));
    lent.ok_or_else(|| PluginError::config(format!("{}: no registry has judged the module", named.display())))
}
