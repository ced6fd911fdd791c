//! Lists of tensors that the fused calls take, made once instead of in every step.

use super::config::Algorithm;
use crate::error::Result;
use crate::ffi;
use std::ffi::c_void;
use tch::Tensor;
use torch_sys::C_tensor;

/// Parameters and state of one group in the C++ shim, which holds its own handles on the tensors.
#[derive(Debug)]
pub(super) struct NativeGroup(*mut c_void);

// SAFETY: it owns tensor handles, which are Send, and is changed through `&mut` only.
unsafe impl Send for NativeGroup {}

impl NativeGroup {
    /// `lists` contains parameters, first state, second state and step counters; a list that the algorithm
    /// does not use is empty.
    pub(super) fn new(
        lists: [&[Tensor]; 4],
        all_steps: Option<&Tensor>,
        found_inf: &Tensor,
        one: &Tensor,
    ) -> Result<Self> {
        let n = lists[0].len();
        let handles = lists.map(ffi::handles);
        let or_null = |list: &Vec<_>| if list.len() == n { list.as_ptr() } else { std::ptr::null() };
        let [params, first, second, steps] = &handles;
        let mut out = std::ptr::null_mut();
        // SAFETY: all handles are live for the call, every list that is passed has `n` entries.
        ffi::check(unsafe {
            ffi::kte_group_new(
                params.as_ptr(),
                or_null(first),
                or_null(second),
                or_null(steps),
                all_steps.map_or(std::ptr::null(), Tensor::as_ptr),
                n,
                found_inf.as_ptr(),
                one.as_ptr(),
                &raw mut out,
            )
        })?;
        Ok(Self(out))
    }

    /// Returns a hash of the parameters' addresses and `requires_grad` flags.
    pub(super) fn fingerprint(&self) -> u64 {
        // SAFETY: live until `self` drops.
        unsafe { ffi::kte_group_fingerprint(self.0) }
    }

    fn as_ptr(&self) -> *mut c_void {
        self.0
    }

    pub(super) fn step(&mut self, algorithm: &Algorithm, rate: &Tensor) -> Result<()> {
        let rate = rate.as_ptr();
        // SAFETY: the group is live until `self` drops, the rate for the call.
        ffi::check(unsafe {
            match algorithm {
                Algorithm::Sgd(sgd) => {
                    ffi::kte_sgd_step(self.0, rate, sgd.momentum, sgd.weight_decay, sgd.nesterov)
                }
                Algorithm::AdamW(adam) => {
                    ffi::kte_adamw_step(self.0, rate, adam.beta1, adam.beta2, adam.weight_decay, adam.eps)
                }
            }
        })
    }
}

impl Drop for NativeGroup {
    fn drop(&mut self) {
        // SAFETY: made by `kte_group_new` and not used again.
        unsafe { ffi::kte_group_free(self.0) }
    }
}

/// All groups of an optimizer, for operations in one call: clearing and counting the flags of gradients that
/// are not finite, and, on a GPU, the step.
///
/// It contains pointers to its groups and must be rebuilt when a group is added or removed.
#[derive(Debug)]
pub(super) struct GroupBatch {
    flags: *mut c_void,
    groups: Vec<*mut c_void>,
    rates: Vec<*const C_tensor>,
    on_gpu: bool,
}

// SAFETY: as for `NativeGroup`.
unsafe impl Send for GroupBatch {}

/// Parts of a group that a [`GroupBatch`] uses.
pub(super) struct Member<'g> {
    pub(super) native: &'g NativeGroup,
    pub(super) rate: &'g Tensor,
    pub(super) found: &'g Tensor,
    pub(super) skipped: &'g Tensor,
}

impl GroupBatch {
    pub(super) fn new<'g>(members: impl Iterator<Item = Member<'g>>) -> Result<Self> {
        let members: Vec<Member<'_>> = members.collect();
        let found = ffi::handles(members.iter().map(|m| m.found));
        let skipped = ffi::handles(members.iter().map(|m| m.skipped));
        let mut flags = std::ptr::null_mut();
        // SAFETY: the handles are live for the call, and both lists have `members.len()` entries.
        ffi::check(unsafe {
            ffi::kte_flags_new(found.as_ptr(), skipped.as_ptr(), members.len(), &raw mut flags)
        })?;
        Ok(Self {
            flags,
            groups: members.iter().map(|m| m.native.as_ptr()).collect(),
            rates: ffi::handles(members.iter().map(|m| m.rate)),
            on_gpu: !members.is_empty() && members.iter().all(|m| m.rate.device().is_cuda()),
        })
    }

    /// Sets the `found_inf` flags of all groups to 0.
    pub(super) fn clear_flags(&mut self) -> Result<()> {
        // SAFETY: live until `self` drops.
        ffi::check(unsafe { ffi::kte_flags_lower(self.flags) })
    }

    /// Adds the `found_inf` flags of all groups to their numbers of skipped steps.
    pub(super) fn count_skipped(&mut self) -> Result<()> {
        // SAFETY: live until `self` drops.
        ffi::check(unsafe { ffi::kte_flags_count(self.flags) })
    }

    /// Steps all groups at once; returns `None`, without a step, if each group has to step by itself.
    ///
    /// # Safety
    /// All groups that `self` was made of must be alive, and their rates must be the same tensors.
    pub(super) unsafe fn step(&mut self, algorithm: &Algorithm) -> Option<Result<()>> {
        if !self.on_gpu {
            return None;
        }
        // SAFETY: promised by the caller.
        unsafe { crate::cuda::optim::step(&self.groups, &self.rates, algorithm) }
    }
}

impl Drop for GroupBatch {
    fn drop(&mut self) {
        // SAFETY: made by `kte_flags_new` and not used again.
        unsafe { ffi::kte_flags_free(self.flags) }
    }
}
