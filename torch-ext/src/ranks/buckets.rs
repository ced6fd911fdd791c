//! Gradients of all parameters in a few buckets, summed over all ranks while the backward pass runs.

use super::collective::Collective;
use crate::error::{Error, Result};
use crate::ffi;
use crate::sink::NamedParameter;
use std::ffi::{c_int, c_void};
use std::mem::ManuallyDrop;
use tch::Tensor;
use torch_sys::C_tensor;

/// libtorch's number of the dtype `bfloat16` (`c10::ScalarType`).
const BFLOAT16: c_int = 15;

/// Which parameters share a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Bucket of each parameter, in the order of the parameters. Buckets are summed in their order.
    pub bucket_of: Vec<usize>,
    /// Number of buckets, at least 1.
    pub buckets: usize,
}

impl Plan {
    /// Distributes parameters, in the order in which their gradients are expected, over buckets of at most
    /// `first` bytes for the first and `later` bytes for the others. A parameter that is larger has a bucket
    /// of its own; parameters of different dtypes never share one.
    ///
    /// # Shapes
    /// `parameters`: any shapes.
    pub fn new(parameters: &[NamedParameter], order: &[usize], first: usize, later: usize) -> Self {
        let mut bucket_of = vec![0; parameters.len()];
        let (mut current, mut bytes, mut kind, mut begun) = (0, 0, None, false);
        for &index in order {
            let Some(parameter) = parameters.get(index).map(|p| &p.tensor) else { continue };
            let size = parameter.numel() * parameter.kind().elt_size_in_bytes();
            let limit = if current == 0 { first } else { later };
            if begun && (bytes + size > limit || kind != Some(parameter.kind())) {
                (current, bytes) = (current + 1, 0);
            }
            (bytes, kind, begun) = (bytes + size, Some(parameter.kind()), true);
            bucket_of[index] = current;
        }
        Self { bucket_of, buckets: current + 1 }
    }
}

/// The buckets of a set of parameters. While it lives, libtorch calls it after each gradient.
#[derive(Debug)]
pub struct Buckets {
    raw: *mut c_void,
    collective: Collective,
    parameters: usize,
    /// Sum over all ranks of the numbers that the ranks passed; `None` without such numbers.
    flag: Option<Tensor>,
}

// SAFETY: the shim protects its state by a lock, and calls come through `&mut` only.
unsafe impl Send for Buckets {}

/// What the shim's calls need during a step.
#[derive(Debug)]
struct Sums {
    collective: Collective,
    failed: Option<Error>,
}

/// A step in which gradients are summed; see [`Buckets::arm`].
#[derive(Debug)]
#[must_use = "the gradients are summed by `finish`"]
pub struct Armed<'b> {
    buckets: &'b Buckets,
    sums: Box<Sums>,
}

impl Buckets {
    /// Creates the buckets of a plan. `compressed` sums in `bfloat16`. `flag` is a number that is summed with
    /// the last bucket.
    ///
    /// # Shapes
    /// `parameters`: any dense shapes, all on one device. `flag`: one element, `float32`, on that device.
    ///
    /// # Errors
    /// If libtorch refuses.
    pub fn new(
        parameters: &[NamedParameter],
        plan: &Plan,
        collective: &Collective,
        flag: Option<&Tensor>,
        compressed: bool,
    ) -> Result<Self> {
        let handles = ffi::handles(parameters.iter().map(|p| &p.tensor));
        let kind = if compressed { BFLOAT16 } else { -1 };
        let mut raw = std::ptr::null_mut();
        // SAFETY: all handles are live for the call; both lists have an entry for each parameter.
        ffi::check(unsafe {
            ffi::kte_buckets_new(
                handles.as_ptr(),
                plan.bucket_of.as_ptr(),
                handles.len(),
                plan.buckets,
                kind,
                flag.map_or(std::ptr::null(), Tensor::as_ptr),
                &raw mut raw,
            )
        })?;
        let mut made = Self { raw, collective: collective.clone(), parameters: parameters.len(), flag: None };
        if flag.is_some() {
            // SAFETY: the buckets are live; the call writes a new tensor.
            made.flag = Some(ffi::new_tensor(|out| unsafe { ffi::kte_buckets_flag(made.raw, out) })?);
        }
        Ok(made)
    }

    /// Returns the sum over all ranks of the numbers that they passed.
    ///
    /// # Shapes
    /// As the `flag` of [`new`](Self::new), in the dtype of the buckets.
    pub fn flag(&self) -> Option<&Tensor> {
        self.flag.as_ref()
    }

    /// Begins the backward pass of a step. Each bucket is summed as soon as its gradients are complete.
    ///
    /// # Errors
    /// If libtorch refuses.
    pub fn arm(&mut self) -> Result<Armed<'_>> {
        let mut sums = Box::new(Sums { collective: self.collective.clone(), failed: None });
        let context: *mut Sums = &raw mut *sums;
        // SAFETY: the box lives as long as the returned value, which disarms the buckets when it is dropped.
        ffi::check(unsafe { ffi::kte_buckets_arm(self.raw, start, context.cast()) })?;
        Ok(Armed { buckets: self, sums })
    }

    /// Returns the indices of the parameters in the order in which the newest step has computed their
    /// gradients. Parameters without one are missing.
    ///
    /// # Errors
    /// If libtorch refuses.
    pub fn order(&self) -> Result<Vec<usize>> {
        let (mut order, mut n) = (vec![0; self.parameters], 0);
        // SAFETY: there is room for all parameters, and each is written once at most.
        ffi::check(unsafe { ffi::kte_buckets_order(self.raw, order.as_mut_ptr(), &raw mut n) })?;
        order.truncate(n);
        Ok(order)
    }
}

impl Armed<'_> {
    /// Ends the backward pass: sums the other buckets, and makes the sums the parameters' gradients. On a GPU
    /// the current stream waits for them.
    ///
    /// # Errors
    /// If a rank is lost.
    pub fn finish(mut self) -> Result<()> {
        // SAFETY: the buckets are live.
        let flushed = ffi::check(unsafe { ffi::kte_buckets_flush(self.buckets.raw) });
        if let Some(error) = self.sums.failed.take() {
            return Err(error);
        }
        flushed?;
        self.buckets.collective.wait()?;
        // SAFETY: as above.
        ffi::check(unsafe { ffi::kte_buckets_hand_over(self.buckets.raw) })
    }

    /// Returns the error of a sum that the backward pass has begun, if one failed.
    pub fn take_error(&mut self) -> Option<Error> {
        self.sums.failed.take()
    }
}

impl Drop for Armed<'_> {
    fn drop(&mut self) {
        // SAFETY: the buckets are live.
        unsafe { ffi::kte_buckets_disarm(self.buckets.raw) }
    }
}

impl Drop for Buckets {
    fn drop(&mut self) {
        // SAFETY: made by `kte_buckets_new` and not used again.
        unsafe { ffi::kte_buckets_free(self.raw) }
    }
}

/// Begins the sum of a bucket. Called by the shim, also on libtorch's backward threads.
extern "C" fn start(context: *mut c_void, parts: *const *mut C_tensor, n: usize) -> c_int {
    // SAFETY: `context` is the box of the armed step, which is alive; the shim calls this under a lock.
    let sums = unsafe { &mut *context.cast::<Sums>() };
    // SAFETY: the shim passes `n` live handles, which are borrowed, so they are not freed.
    let parts = unsafe { std::slice::from_raw_parts(parts, n) }
        .iter()
        .map(|part| unsafe { ManuallyDrop::new(Tensor::from_ptr(*part)) })
        .collect::<Vec<_>>();
    match sums.collective.begin_sums(&parts.iter().map(|part| &**part).collect::<Vec<_>>()) {
        Ok(()) => 0,
        Err(error) => {
            sums.failed.get_or_insert(error);
            1
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::on_ranks;
    use super::*;
    use tch::{Device, Kind};

    fn parameter(name: &str, tensor: &Tensor) -> NamedParameter {
        NamedParameter { name: name.to_owned(), tensor: tensor.set_requires_grad(true) }
    }

    fn parameters() -> Vec<NamedParameter> {
        let ones = |shape: &[i64]| Tensor::ones(shape, (Kind::Float, Device::Cpu));
        vec![
            parameter("a", &ones(&[3])),
            parameter("unused", &ones(&[2])),
            parameter("b", &crate::autograd::to_channels_last(&ones(&[2, 3, 4, 4])).unwrap()),
            // Large enough to be summed where it is.
            parameter("large", &crate::autograd::to_channels_last(&ones(&[64, 64, 4, 4])).unwrap()),
        ]
    }

    #[test]
    fn a_plan_keeps_the_order_the_limits_and_the_dtypes() {
        let mut all = parameters();
        all.push(parameter("wide", &Tensor::ones([2], (Kind::Double, Device::Cpu))));
        let plan = |order: &[usize], first, later| Plan::new(&all, order, first, later);
        assert_eq!(plan(&[2, 1, 0], 1 << 20, 1 << 20).bucket_of[..3], [0, 0, 0]);
        assert_eq!(plan(&[2, 1, 0], 384, 1 << 20).bucket_of[..3], [1, 1, 0]);
        assert_eq!(
            plan(&[4, 3, 2, 1, 0], 1 << 20, 1 << 20),
            Plan { bucket_of: vec![1, 1, 1, 1, 0], buckets: 2 }
        );
    }

    /// Each rank has its own gradients; all get the same sums, with the strides of the parameters, and a
    /// parameter without a gradient keeps none.
    #[test]
    fn gradients_are_summed_in_place_of_each_ranks_own() {
        for compressed in [false, true] {
            let found = on_ranks(2, false, move |rank, collective| {
                let (all, flag) = (parameters(), Tensor::from_slice(&[rank as f32]));
                let plan = Plan::new(&all, &[3, 2, 1, 0], 100, 100);
                let mut buckets = Buckets::new(&all, &plan, collective, Some(&flag), compressed).unwrap();
                let mut sums = Vec::new();
                for step in 1..=2 {
                    let armed = buckets.arm().unwrap();
                    let scale = f64::from(step) * (rank as f64 + 1.0);
                    ((&all[0].tensor * scale).sum(Kind::Float)
                        + (&all[2].tensor * (2.0 * scale)).sum(Kind::Float)
                        + (&all[3].tensor * (4.0 * scale)).sum(Kind::Float))
                    .backward();
                    armed.finish().unwrap();
                    assert_eq!(buckets.order().unwrap().len(), 3);
                    assert!(!all[1].tensor.grad().defined());
                    assert_eq!(all[2].tensor.grad().stride(), all[2].tensor.stride());
                    assert_eq!(all[3].tensor.grad().stride(), all[3].tensor.stride());
                    let sum = |i: usize| {
                        all[i].tensor.grad().f_double_value(&[0, 0, 0, 0][..all[i].tensor.dim()]).unwrap()
                    };
                    sums.push((
                        sum(0),
                        sum(2),
                        sum(3),
                        buckets.flag().unwrap().f_double_value(&[0]).unwrap(),
                    ));
                    crate::norm::clear_gradients(all.iter().map(|p| &p.tensor)).unwrap();
                }
                sums
            });
            assert_eq!(
                found,
                vec![vec![(3.0, 6.0, 12.0, 1.0), (6.0, 12.0, 24.0, 1.0)]; 2],
                "compressed {compressed}"
            );
        }
    }

    /// The gradients of a sum of two views are views of one tensor, which must not be summed twice.
    #[test]
    fn large_gradients_that_share_memory_are_summed_once() {
        let found = on_ranks(2, false, |rank, collective| {
            let flat = |name| parameter(name, &Tensor::ones([1 << 17], (Kind::Float, Device::Cpu)));
            let all = vec![flat("a"), flat("b")];
            let plan = Plan::new(&all, &[0, 1], 1 << 20, 1 << 20);
            let mut buckets = Buckets::new(&all, &plan, collective, None, false).unwrap();
            let armed = buckets.arm().unwrap();
            let viewed = |i: usize| all[i].tensor.view([2, -1]);
            ((viewed(0) + viewed(1)) * (rank as f64 + 1.0)).sum(Kind::Float).backward();
            armed.finish().unwrap();
            [0, 1].map(|i| all[i].tensor.grad().f_double_value(&[5]).unwrap())
        });
        assert_eq!(found, [[3.0, 3.0]; 2]);
    }

    #[test]
    fn gradients_of_other_passes_are_not_summed() {
        let found = on_ranks(2, false, |rank, collective| {
            let all = parameters();
            let plan = Plan::new(&all, &[0, 1, 2], 1 << 20, 1 << 20);
            let buckets = Buckets::new(&all, &plan, collective, None, false).unwrap();
            (&all[0].tensor * (rank as f64 + 1.0)).sum(Kind::Float).backward();
            drop(buckets);
            all[0].tensor.grad().f_double_value(&[0]).unwrap()
        });
        assert_eq!(found, [1.0, 2.0]);
    }
}
