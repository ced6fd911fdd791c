//! Batch normalisation with the statistics of all ranks.

use super::collective::Collective;
use super::rank_sums;
use crate::cuda::fused::batch_norm_function;
use crate::error::Result;
use crate::ffi;
use std::ffi::{c_char, c_int, c_void};
use std::marker::PhantomData;
use tch::Tensor;
use torch_sys::C_tensor;

/// Scope in which every `aten::batch_norm` of this thread in training mode uses the batches of all ranks.
///
/// Values and gradients are those of one batch that contains the batches of all ranks, if the losses of the
/// ranks add up to its loss.
#[derive(Debug)]
#[must_use = "the scope ends when this value is dropped"]
pub struct SyncBatchNorm<'c> {
    before: *mut c_void,
    /// Makes the type `!Send`, because the setting belongs to a thread, and borrows the collective.
    _scope: PhantomData<(&'c Collective, *const ())>,
}

impl<'c> SyncBatchNorm<'c> {
    /// Begins a scope. The backward pass of its layers must end before the collective is dropped.
    ///
    /// # Shapes
    /// `weight`: 0-dimensional, 1, or 0 if the batch of this rank is left out.
    ///
    /// # Errors
    /// If libtorch refuses.
    pub fn begin(collective: &'c Collective, weight: &Tensor) -> Result<Self> {
        let context: *const Collective = collective;
        let mut before = std::ptr::null_mut();
        // SAFETY: the collective outlives the scope; the weight is live for the call, which copies its
        // handle.
        ffi::check(unsafe {
            let on_gpu = weight.device().is_cuda().then(batch_norm_function).flatten();
            ffi::kte_batch_norm_sync(sum, context.cast_mut().cast(), weight.as_ptr(), on_gpu, &raw mut before)
        })?;
        rank_sums::enter(sum, context.cast_mut().cast(), weight.shallow_clone());
        Ok(Self { before, _scope: PhantomData })
    }
}

impl Drop for SyncBatchNorm<'_> {
    fn drop(&mut self) {
        // SAFETY: written by `kte_batch_norm_sync` on this thread (the type is not Send), and not used again.
        unsafe { ffi::kte_batch_norm_leave(self.before) }
        rank_sums::leave();
    }
}

/// Sums a message over all ranks; if that fails, writes the reason to `why`. Called by the shim, also on
/// libtorch's backward threads.
extern "C" fn sum(context: *mut c_void, message: *mut C_tensor, why: *mut c_char, room: usize) -> c_int {
    // SAFETY: the collective is alive, as `begin` demands; the message is borrowed, so its handle is not
    // freed.
    let (collective, message) =
        unsafe { (&*context.cast::<Collective>(), std::mem::ManuallyDrop::new(Tensor::from_ptr(message))) };
    let Err(error) = collective.sum(&message) else { return 0 };
    let text = error.to_string();
    let length = text.floor_char_boundary(room.saturating_sub(1));
    // SAFETY: `why` has room for `room` bytes, and the text is shorter.
    unsafe {
        std::ptr::copy_nonoverlapping(text.as_ptr(), why.cast(), length);
        why.add(length).write(0);
    }
    1
}

#[cfg(test)]
mod tests {
    use super::super::testing::on_ranks;
    use super::*;
    use crate::rng::RngFork;
    use tch::{Device, Kind};

    /// Output, running statistics, and the gradients of input, weight and bias of a batch whose loss is `w ·
    /// y`.
    struct Passed([Tensor; 6]);

    fn layer(x: &Tensor, w: &Tensor) -> Passed {
        let x = x.detach().set_requires_grad(true);
        let channels = x.size()[1];
        let filled = |value: f64| Tensor::full([channels], value, (Kind::Float, Device::Cpu));
        let (weight, bias) = (filled(1.5).set_requires_grad(true), filled(0.25).set_requires_grad(true));
        let (mean, var) = (filled(0.5), filled(2.0));
        let y = x.batch_norm(Some(&weight), Some(&bias), Some(&mean), Some(&var), true, 0.1, 1e-5, true);
        (&y * w).sum(Kind::Float).backward();
        Passed([y.detach(), mean, var, x.grad(), weight.grad(), bias.grad()])
    }

    fn data(shape: &[i64]) -> (Tensor, Tensor) {
        let _fork = RngFork::seeded(7).unwrap();
        let x = Tensor::randn(shape, (Kind::Float, Device::Cpu)) * 3.0 + 20.0;
        (x, Tensor::randn(shape, (Kind::Float, Device::Cpu)))
    }

    fn close(a: &Tensor, b: &Tensor) -> bool {
        (a - b).abs().max().f_double_value(&[]).unwrap()
            <= 2e-5 * (1.0 + b.abs().max().f_double_value(&[]).unwrap())
    }

    /// Ranks with parts of a batch compute what one rank computes with the whole batch; a rank that is left
    /// out changes nothing.
    #[test]
    fn statistics_and_gradients_are_those_of_the_whole_batch() {
        for shape in [vec![7, 3, 4, 4], vec![9, 5]] {
            let (x, w) = data(&shape);
            let whole = layer(&x, &w);
            let cuts = [0, 2, 3, shape[0]];
            let parts = on_ranks(4, true, |rank, collective| {
                let ((x, w), left_out) = (data(&shape), rank == 3);
                let (start, end) = if left_out { (0, 1) } else { (cuts[rank], cuts[rank + 1]) };
                let weight = Tensor::from(if left_out { 0.0_f32 } else { 1.0 });
                let _scope = SyncBatchNorm::begin(collective, &weight).unwrap();
                let part = |t: &Tensor| t.narrow(0, start, end - start);
                let w = part(&w) * f64::from(u8::from(!left_out));
                let passed = layer(&part(&x), &w);
                for gradient in &passed.0[4..] {
                    collective.sum(gradient).unwrap();
                }
                passed
            });
            let joined = |i: usize| Tensor::cat(&parts[..3].iter().map(|p| &p.0[i]).collect::<Vec<_>>(), 0);
            assert!(close(&joined(0), &whole.0[0]) && close(&joined(3), &whole.0[3]), "{shape:?}");
            for passed in &parts {
                for i in [1, 2, 4, 5] {
                    assert!(close(&passed.0[i], &whole.0[i]), "{shape:?}: {i}");
                }
            }
        }
    }

    /// libtorch computes an instance norm by a batch norm of one sample, whose statistics are its own.
    #[test]
    fn instance_norms_are_of_each_sample() {
        let (x, _) = data(&[4, 3, 5, 5]);
        let norm = |x: &Tensor| {
            let none = None::<&Tensor>;
            x.instance_norm(none, none, none, none, true, 0.1, 1e-5, true)
        };
        let expected = norm(&x);
        let parts = on_ranks(2, true, |rank, collective| {
            let (x, _) = data(&[4, 3, 5, 5]);
            let _scope = SyncBatchNorm::begin(collective, &Tensor::from(1.0_f32)).unwrap();
            // Parts of different sizes.
            norm(&if rank == 0 { x.narrow(0, 0, 1) } else { x.narrow(0, 1, 3) })
        });
        assert!(Tensor::cat(&parts, 0).equal(&expected));
    }

    #[test]
    fn other_layers_are_not_changed() {
        let (x, w) = data(&[4, 3, 2, 2]);
        let before = layer(&x, &w);
        on_ranks(2, false, |_, collective| {
            drop(SyncBatchNorm::begin(collective, &Tensor::from(1.0_f32)).unwrap());
        });
        let after = layer(&x, &w);
        assert!(before.0.iter().zip(&after.0).all(|(a, b)| a.equal(b)));
    }
}
