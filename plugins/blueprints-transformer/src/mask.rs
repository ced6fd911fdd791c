//! Masks that are added to the scores of attention: hidden positions, and penalties for distance.

use kasmina_plugin_api::prelude::*;
use tch::{Device, Kind};

/// Limit on the masks that are kept.
const MAX_MASKS: usize = 8;

/// Change of the scores before the softmax. It is always causal.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Modification {
    /// Number of positions that each attends to: itself and those just before it.
    pub(crate) window: Option<i64>,
    /// Whether scores fall with distance, with a different slope in each head.
    pub(crate) alibi: bool,
    pub(crate) n_head: i64,
}

impl Modification {
    /// Whether a length needs only causal masking, for which attention has faster kernels.
    fn is_only_causal(self, length: i64) -> bool {
        !self.alibi && self.window.is_none_or(|window| window >= length)
    }

    /// Returns the mask of a length. It is computed on the device without a copy from the host, so that the
    /// computation can be captured.
    ///
    /// # Shapes
    /// `[1, 1, T, T]`, with ALiBi `[1, n_head, T, T]`.
    fn mask(self, length: i64, (kind, device): (Kind, Device)) -> Result<Tensor> {
        let positions = Tensor::f_arange(length, (Kind::Float, device))?;
        // Number of positions from the key of a column to the query of a row.
        let distance = positions.f_unsqueeze(1)?.f_sub(&positions.f_unsqueeze(0)?)?;
        let mut hidden = distance.f_lt(0.0)?;
        if let Some(window) = self.window {
            hidden = hidden.f_logical_or(&distance.f_ge(window as f64)?)?;
        }
        let scores = if self.alibi {
            let heads = Tensor::f_arange_start(1, self.n_head + 1, (Kind::Float, device))?;
            let slopes = heads.f_mul_scalar(-8.0 / self.n_head as f64)?.f_exp2()?.f_reshape([1, -1, 1, 1])?;
            distance.f_neg()?.f_mul(&slopes)?
        } else {
            Tensor::f_zeros([1, 1, length, length], (Kind::Float, device))?
        };
        Ok(scores.f_masked_fill(&hidden, f64::NEG_INFINITY)?.f_to_kind(kind)?)
    }
}

/// Masks by length, device and dtype.
///
/// A kept mask is never dropped while the seed lives, because a captured step that was preceded by its
/// computation reads it at its address. When the limit is reached, further masks are computed in each call,
/// and captured with it.
#[derive(Debug)]
pub(crate) struct Masks {
    modification: Modification,
    known: Vec<(i64, Device, Kind, Tensor)>,
}

impl Masks {
    pub(crate) fn new(modification: Modification) -> Self {
        Self { modification, known: Vec::new() }
    }

    /// Returns the mask for queries, or `None` if they need only causal masking.
    ///
    /// # Shapes
    /// `queries`: `[N, n_head, T, C / n_head]`; mask: `[1, 1, T, T]` or `[1, n_head, T, T]`, with the dtype
    /// and device of the queries.
    pub(crate) fn of(&mut self, queries: &Tensor) -> Result<Option<Tensor>> {
        let (length, device, kind) = (queries.size()[2], queries.device(), queries.kind());
        if self.modification.is_only_causal(length) {
            return Ok(None);
        }
        let found = self.known.iter().find(|(l, d, k, _)| (*l, *d, *k) == (length, device, kind));
        if let Some((.., mask)) = found {
            return Ok(Some(mask.shallow_clone()));
        }
        let mask = self.modification.mask(length, (kind, device))?;
        if self.known.len() < MAX_MASKS {
            self.known.push((length, device, kind, mask.shallow_clone()));
        }
        Ok(Some(mask))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CPU: Device = Device::Cpu;

    fn at(mask: &Tensor, head: i64, query: i64, key: i64) -> f64 {
        mask.f_double_value(&[0, head, query, key]).unwrap()
    }

    #[test]
    fn a_mask_follows_its_formula() {
        let n_head = 4;
        for (window, alibi) in [(Some(3), false), (None, true), (Some(2), true), (Some(1), false)] {
            let modification = Modification { window, alibi, n_head };
            let mask = modification.mask(7, (Kind::Float, CPU)).unwrap();
            assert_eq!(mask.size(), [1, if alibi { n_head } else { 1 }, 7, 7]);
            for head in 0..mask.size()[1] {
                // 1/4, 1/16, 1/64, 1/256: the geometric series of the paper.
                let slope = if alibi { 0.25_f64.powi(head as i32 + 1) } else { 0.0 };
                for (query, key) in (0..7).flat_map(|q| (0..7).map(move |k| (q, k))) {
                    let seen = key <= query && window.is_none_or(|window| query - key < window);
                    let want = if seen { -slope * (query - key) as f64 } else { f64::NEG_INFINITY };
                    assert_eq!(at(&mask, head, query, key), want, "{modification:?} {head} {query} {key}");
                }
            }
        }
    }

    #[test]
    fn masks_up_to_the_limit_are_kept_at_their_address() {
        let mut masks = Masks::new(Modification { window: Some(2), alibi: false, n_head: 2 });
        let queries = |length: i64, kind| Tensor::zeros([1, 2, length, 4], (kind, CPU));
        let addresses = |masks: &mut Masks, lengths: std::ops::Range<i64>| -> Vec<_> {
            let of = |length| masks.of(&queries(length, Kind::Float)).unwrap().unwrap().data_ptr();
            lengths.map(of).collect()
        };
        let first = addresses(&mut masks, 3..11);
        drop(addresses(&mut masks, 11..30));
        assert_eq!((masks.known.len(), addresses(&mut masks, 3..11)), (MAX_MASKS, first));
        let half = masks.of(&queries(5, Kind::BFloat16)).unwrap().unwrap();
        assert_eq!((half.kind(), half.size()), (Kind::BFloat16, vec![1, 1, 5, 5]));
        assert!(
            masks.of(&queries(2, Kind::Float)).unwrap().is_none(),
            "the window covers the whole sequence"
        );
    }
}
