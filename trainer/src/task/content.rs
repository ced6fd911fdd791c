//! Hashes of a task's data, by which a resumed run checks that its data are unchanged.

use crate::error::TrainError;
use sha2::{Digest as _, Sha256};
use tch::Tensor;

/// Number of bytes that are hashed at a time.
const CHUNK: i64 = 1 << 24;

/// Returns the SHA-256 of some tensors, including their kinds and shapes, in hexadecimal digits.
pub(super) fn hash(tensors: &[&Tensor]) -> Result<String, TrainError> {
    let mut hash = Sha256::new();
    for tensor in tensors {
        hash.update(format!("{:?} {:?}\n", tensor.kind(), tensor.size()));
        let flat = tensor.f_contiguous()?.f_view([-1])?;
        let (count, size) = (flat.numel() as i64, flat.kind().elt_size_in_bytes());
        let each = (CHUNK / size.max(1) as i64).max(1);
        for start in (0..count).step_by(each as usize) {
            let len = each.min(count - start);
            let mut bytes = vec![0; len as usize * size];
            flat.f_narrow(0, start, len)?.f_copy_data_u8(&mut bytes, len as usize)?;
            hash.update(&bytes);
        }
    }
    Ok(hex::encode(hash.finalize()))
}
