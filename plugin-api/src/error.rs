//! The error type of the plugin interface.

use std::fmt;

/// Kind of a failure. The caller decides by it how to continue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// libtorch refused an operation: shapes, dtypes, devices.
    Torch,
    /// libtorch could not allocate memory.
    OutOfMemory,
    /// The configuration is not valid.
    Config,
    /// The plugin broke a rule of the interface, such as a wrong output shape or a slot that was not visited.
    Contract,
    /// The plugin panicked; the instance is poisoned.
    Panic,
    /// The instance was poisoned by an earlier panic.
    Poisoned,
    /// The entry does not support the site.
    Unsupported,
    /// Any other failure, including kinds that this version does not know.
    Other,
}

impl ErrorKind {
    /// Stable number of the kind in the plugin interface. Later versions may add numbers.
    pub const fn code(self) -> u32 {
        match self {
            Self::Other => 0,
            Self::Torch => 1,
            Self::OutOfMemory => 2,
            Self::Config => 3,
            Self::Contract => 4,
            Self::Panic => 5,
            Self::Poisoned => 6,
            Self::Unsupported => 7,
        }
    }

    /// Returns the kind of a number; [`ErrorKind::Other`] for unknown numbers.
    pub const fn from_code(code: u32) -> Self {
        match code {
            1 => Self::Torch,
            2 => Self::OutOfMemory,
            3 => Self::Config,
            4 => Self::Contract,
            5 => Self::Panic,
            6 => Self::Poisoned,
            7 => Self::Unsupported,
            _ => Self::Other,
        }
    }

    /// Name of the kind in messages.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Torch => "torch",
            Self::OutOfMemory => "out of memory",
            Self::Config => "config",
            Self::Contract => "contract",
            Self::Panic => "panic",
            Self::Poisoned => "poisoned",
            Self::Unsupported => "unsupported",
            Self::Other => "error",
        }
    }
}

/// Error of a plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PluginError {
    /// Error code that the plugin's author chose; 0 if none.
    pub code: u32,
    /// Kind of the failure. The caller decides by it how to continue.
    pub kind: ErrorKind,
    /// What happened, in one paragraph.
    pub message: String,
    /// Operations during which the error occurred, innermost first.
    pub chain: Vec<String>,
    /// Whether the same call may succeed later.
    pub retryable: bool,
}

/// Result of plugin code.
pub type Result<T, E = PluginError> = std::result::Result<T, E>;

impl PluginError {
    /// Creates an error. Only errors of kind [`ErrorKind::OutOfMemory`] are marked retryable.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        let retryable = kind == ErrorKind::OutOfMemory;
        Self { code: 0, kind, message: message.into(), chain: Vec::new(), retryable }
    }
    /// Creates an error about a configuration.
    pub fn config(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Config, message)
    }
    /// Creates an error about a rule of the interface that was broken.
    pub fn contract(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Contract, message)
    }
    /// Creates an error about a site that the entry does not support.
    pub fn unsupported(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unsupported, message)
    }
    /// Creates an error of any other kind.
    pub fn other(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Other, message)
    }
    /// Creates an error from a message of libtorch, without its C++ backtrace.
    pub fn torch(text: &str) -> Self {
        let lower = text.to_ascii_lowercase();
        let memory =
            ["out of memory", "can't allocate memory", "bad_alloc"].iter().any(|m| lower.contains(m));
        let kind = if memory { ErrorKind::OutOfMemory } else { ErrorKind::Torch };
        Self::new(kind, first_paragraph(text))
    }
    /// Sets the error code.
    #[must_use]
    pub fn with_code(mut self, code: u32) -> Self {
        self.code = code;
        self
    }
}

impl fmt::Display for PluginError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for doing in self.chain.iter().rev() {
            write!(f, "{doing}: ")?;
        }
        write!(f, "{} ({})", self.message, self.kind.label())
    }
}

impl std::error::Error for PluginError {}

impl From<tch::TchError> for PluginError {
    fn from(error: tch::TchError) -> Self {
        match error {
            tch::TchError::Torch(text) => Self::torch(&text),
            other => Self::new(ErrorKind::Torch, first_paragraph(&other.to_string())),
        }
    }
}

impl From<serde_json::Error> for PluginError {
    fn from(error: serde_json::Error) -> Self {
        Self::config(error.to_string())
    }
}

/// Adds to an error the operation during which it occurred.
pub trait Context<T> {
    /// Adds `doing` to the chain of an error.
    ///
    /// # Errors
    /// The same error, with its chain extended.
    fn context(self, doing: impl Into<String>) -> Result<T>;

    /// Adds the result of `doing` to the chain of an error. The closure runs only for an error.
    ///
    /// # Errors
    /// The same error, with its chain extended.
    fn with_context(self, doing: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: Into<PluginError>> Context<T> for std::result::Result<T, E> {
    fn context(self, doing: impl Into<String>) -> Result<T> {
        self.with_context(|| doing.into())
    }
    fn with_context(self, doing: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|error| {
            let mut error = error.into();
            error.chain.push(doing());
            error
        })
    }
}

/// Returns the text before libtorch's C++ backtrace.
fn first_paragraph(text: &str) -> &str {
    // Failed internal checks, such as those of the allocator, have the second form.
    let trace = ["\nException raised from", "\nframe #0:"];
    let end = trace.iter().filter_map(|start| text.find(start)).min().unwrap_or(text.len());
    text[..end].trim_end()
}
