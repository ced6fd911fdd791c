//! The hash of the weights of a host.

use kasmina_checkpoint::TensorView;
use std::collections::BTreeMap;

/// Returns the SHA-256 of names, types, shapes and elements, in hexadecimal digits.
pub(super) fn hash(weights: &BTreeMap<&str, TensorView<'_>>) -> String {
    let headers = weights.iter().map(|(name, view)| format!("{name} {:?} {:?}\n", view.dtype, view.shape));
    let headers: Vec<String> = headers.collect();
    let parts = headers.iter().zip(weights.values());
    kasmina_files::sha256_of(parts.flat_map(|(header, view)| [header.as_bytes(), view.bytes]))
}
