//! Comparing tensors of all ranks bit for bit, by two sums over the bits of each.

use crate::error::RanksError;
use crate::messages::Messages;
use kasmina_torch_ext::rng::derive_seed;
use tch::{Kind, TchError, Tensor};

/// Number of elements that are summed at once.
const SLICE: i64 = 1 << 24;

/// Compares tensors of the same names on all ranks. Waits for the device.
///
/// # Shapes
/// Any.
///
/// # Errors
/// The first tensor in which a rank differs from rank 0, or that a rank is lost.
pub fn compare_tensors(messages: &mut Messages, tensors: &[(String, Tensor)]) -> Result<(), RanksError> {
    let torch = |error: TchError| RanksError::Transfer(error.to_string());
    let sums = bit_sums(tensors).map_err(torch)?;
    let text: Vec<String> = sums.iter().map(|sum| format!("{sum:x}")).collect();
    let hash = derive_seed(0, &text.iter().map(String::as_str).collect::<Vec<_>>());
    let all = messages.gather(&hash.to_le_bytes())?;
    if all.iter().all(|other| *other == all[0]) {
        return Ok(());
    }
    let all = messages.gather(text.join(" ").as_bytes())?;
    let words = |bytes: &Vec<u8>| -> Vec<String> {
        String::from_utf8_lossy(bytes).split(' ').map(str::to_owned).collect()
    };
    let first = all.first().map(words).unwrap_or_default();
    for (rank, other) in all.iter().enumerate().skip(1) {
        let other = words(other);
        let position = first.iter().zip(&other).position(|(a, b)| a != b);
        let name = position.and_then(|position| tensors.get(position / 2)).map(|(name, _)| name.as_str());
        if position.is_some() || first.len() != other.len() {
            return Err(RanksError::Weights { rank, name: name.unwrap_or("of another number").to_owned() });
        }
    }
    Ok(())
}

/// Returns two sums over the bits of each tensor.
fn bit_sums(tensors: &[(String, Tensor)]) -> Result<Vec<i64>, TchError> {
    let _no_grad = tch::no_grad_guard();
    let mut sums = Vec::with_capacity(2 * tensors.len());
    for (_, tensor) in tensors {
        let dense = tensor.f_contiguous()?;
        let bits = match dense.kind() {
            Kind::Float => dense.f_view_dtype(Kind::Int)?,
            Kind::Double => dense.f_view_dtype(Kind::Int64)?,
            Kind::BFloat16 | Kind::Half => dense.f_view_dtype(Kind::Int16)?,
            _ => dense,
        };
        // In slices, because the sums need eight bytes for each element.
        let (mut sum, mut squares) = (Vec::new(), Vec::new());
        for slice in bits.f_flatten(0, -1)?.f_split(SLICE, 0)? {
            let wide = slice.f_to_kind(Kind::Int64)?;
            sum.push(wide.f_sum(Kind::Int64)?);
            squares.push(wide.f_square()?.f_sum(Kind::Int64)?);
        }
        for parts in [sum, squares] {
            sums.push(Tensor::f_stack(&parts, 0)?.f_sum(Kind::Int64)?);
        }
    }
    if sums.is_empty() { Ok(Vec::new()) } else { Tensor::f_stack(&sums, 0)?.try_into() }
}
