//! What a call into libtorch can answer.

/// A refused or failed libtorch call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// libtorch threw; the text is its own first paragraph.
    #[error("torch: {0}")]
    Torch(String),
    /// A TorchScript module uses what is not allowed.
    #[error("it uses {}, which does more than compute; a module may only compute", names.join(", "))]
    Forbidden {
        /// Operators, and names in its code.
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

/// Cuts libtorch's C++ backtrace off a message.
pub(crate) fn first_paragraph(text: &str) -> &str {
    // The second form is that of failed checks, of which the allocator's is one.
    let trace = ["\nException raised from", "\nframe #0:"];
    let end = trace.iter().filter_map(|start| text.find(start)).min().unwrap_or(text.len());
    text[..end].trim_end()
}
