//! Counting the multiply-adds of a computation, including those of plugins and TorchScript modules.

use crate::error::Result;
use crate::ffi;
use std::marker::PhantomData;

/// Counter of the multiply-adds of every convolution, matrix product and attention on this thread, computed
/// from the shapes of the inputs. Elementwise operations are not counted, nor is the replay of a captured
/// graph.
#[derive(Debug)]
pub struct FlopCounter {
    handle: Option<u64>,
    /// Makes the type `!Send`: the count belongs to the thread that started it.
    _thread: PhantomData<*const ()>,
}

impl FlopCounter {
    /// Starts counting on this thread.
    ///
    /// # Errors
    /// If a count already runs on this thread.
    pub fn start() -> Result<Self> {
        let mut handle = 0;
        // SAFETY: the output pointer is valid.
        ffi::check(unsafe { ffi::kte_flops_start(&raw mut handle) })?;
        Ok(Self { handle: Some(handle), _thread: PhantomData })
    }

    /// Stops counting and returns the number of multiply-adds.
    ///
    /// # Errors
    /// If libtorch refuses.
    pub fn finish(mut self) -> Result<u64> {
        self.handle.take().map_or(Ok(0), stop)
    }
}

impl Drop for FlopCounter {
    fn drop(&mut self) {
        if let Some(handle) = self.handle.take() {
            let _ = stop(handle);
        }
    }
}

fn stop(handle: u64) -> Result<u64> {
    let mut count = 0;
    // SAFETY: the handle is that of a count started on this thread, and the output pointer is valid.
    ffi::check(unsafe { ffi::kte_flops_stop(handle, &raw mut count) })?;
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind, Tensor};

    fn of(body: impl FnOnce() -> Tensor) -> u64 {
        let counter = FlopCounter::start().unwrap();
        let _ = tch::no_grad(body);
        counter.finish().unwrap()
    }

    fn randn(size: &[i64]) -> Tensor {
        Tensor::randn(size, (Kind::Float, Device::Cpu))
    }

    #[test]
    fn products_convolutions_and_attention_are_counted_by_their_shapes() {
        let (x, w, b) = (randn(&[2, 3, 8, 8]), randn(&[5, 3, 3, 3]), randn(&[5]));
        assert_eq!(of(|| x.conv2d(&w, Some(&b), [2], [1], [1], 1)), 2 * 4 * 4 * 5 * 27);
        let depthwise = randn(&[3, 1, 3, 3]);
        assert_eq!(of(|| x.conv2d::<Tensor>(&depthwise, None, [1], [1], [1], 3)), 2 * 64 * 3 * 9);
        let (x, w, b) = (randn(&[2, 7, 4]), randn(&[6, 4]), randn(&[6]));
        assert_eq!(of(|| x.linear(&w, Some(&b))), 2 * 7 * 4 * 6);
        assert_eq!(of(|| x.linear::<Tensor>(&w, None)), 2 * 7 * 4 * 6);
        assert_eq!(of(|| x.matmul(&x.transpose(1, 2))), 2 * 7 * 7 * 4);
        let q = randn(&[2, 3, 7, 4]);
        let attend =
            || Tensor::scaled_dot_product_attention::<Tensor>(&q, &q, &q, None, 0.0, true, None, false);
        assert_eq!(of(attend), 2 * 2 * 3 * 7 * 7 * 4);
        assert_eq!(of(|| &x + 1.0), 0);
    }
}
