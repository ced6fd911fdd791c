//! Errors of calls into libtorch.

/// A refused or failed libtorch call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// libtorch threw an exception; contains its message without the backtrace.
    #[error("torch: {0}")]
    Torch(String),
    /// A TorchScript module uses operators or names that are not allowed.
    #[error("it uses {}, which does more than compute; a module may only compute", names.join(", "))]
    Forbidden {
        /// Forbidden operators, and forbidden names in the module's code.
        names: Vec<String>,
    },
    /// The CUDA libraries could not be opened.
    #[error("cannot open {library}: {reason}")]
    Library {
        /// Name of the library.
        library: String,
        /// Message of the loader.
        reason: String,
    },
}

/// Result of this crate's functions.
pub type Result<T> = std::result::Result<T, Error>;

impl From<tch::TchError> for Error {
    fn from(error: tch::TchError) -> Self {
        Self::Torch(first_paragraph(&error.to_string()).to_owned())
    }
}

/// Returns a message of libtorch without its C++ backtrace.
pub(crate) fn first_paragraph(text: &str) -> &str {
    // Some failed checks, the allocator's for instance, use the second form.
    let trace = ["\nException raised from", "\nframe #0:"];
    let end = trace.iter().filter_map(|start| text.find(start)).min().unwrap_or(text.len());
    text[..end].trim_end()
}
