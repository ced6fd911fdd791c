//! A violation of a rule of `cargo xtask tidy`.

use std::fmt;

/// A place that breaks a rule; displayed as `path:line: what — why`.
#[derive(Debug, PartialEq)]
pub(crate) struct Finding {
    pub(super) path: String,
    pub(super) line: usize,
    pub(super) what: String,
    pub(super) why: &'static str,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {} — {}", self.path, self.line, self.what, self.why)
    }
}
