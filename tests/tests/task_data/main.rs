//! Tasks that read data: small files in the original formats, trained through the command and the library.

mod files;
mod learning;
mod refusals;
