//! The lists of tensors that the fused calls take, made once instead of in every step.

use super::config::Algorithm;
use crate::error::Result;
use crate::ffi;
use std::ffi::c_void;
use tch::Tensor;
use torch_sys::C_tensor;

/// One group's parameters and state on the other side of the shim. It holds handles of its own on all of
/// them.
#[derive(Debug)]
pub(super) struct NativeGroup(*mut c_void);

// SAFETY: it owns what tensors own, which is Send, and is reached through `&mut` only.
unsafe impl Send for NativeGroup {}

impl NativeGroup {
    /// `lists` are parameters, two lists of state, and step counters; a list that the algorithm has not is
    /// empty.
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

    /// Where the parameters lie and which of them learn.
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

/// What all groups do in one call: their flags are lowered and counted together, and on a GPU they step
/// together.
///
/// It holds handles on the groups it was made of, and is made anew when one comes or goes.
#[derive(Debug)]
pub(super) struct Together {
    flags: *mut c_void,
    groups: Vec<*mut c_void>,
    rates: Vec<*const C_tensor>,
    on_gpu: bool,
}

// SAFETY: as `NativeGroup`.
unsafe impl Send for Together {}

/// What of a group takes part.
pub(super) struct Member<'g> {
    pub(super) native: &'g NativeGroup,
    pub(super) rate: &'g Tensor,
    pub(super) found: &'g Tensor,
    pub(super) skipped: &'g Tensor,
}

impl Together {
    pub(super) fn new<'g>(members: impl Iterator<Item = Member<'g>>) -> Result<Self> {
        let members: Vec<Member<'_>> = members.collect();
        let found = ffi::handles(members.iter().map(|m| m.found));
        let skipped = ffi::handles(members.iter().map(|m| m.skipped));
        let mut flags = std::ptr::null_mut();
        // SAFETY: the handles are live for the call, and both lists have as many entries.
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

    pub(super) fn lower(&mut self) -> Result<()> {
        // SAFETY: live until `self` drops.
        ffi::check(unsafe { ffi::kte_flags_lower(self.flags) })
    }

    pub(super) fn count(&mut self) -> Result<()> {
        // SAFETY: live until `self` drops.
        ffi::check(unsafe { ffi::kte_flags_count(self.flags) })
    }

    /// The step of all groups at once; `None` where each has to step by itself.
    ///
    /// # Safety
    /// The groups that it was made of are all alive, and their rates are the tensors that they were.
    pub(super) unsafe fn step(&mut self, algorithm: &Algorithm) -> Option<Result<()>> {
        if !self.on_gpu {
            return None;
        }
        // SAFETY: promised by the caller.
        unsafe { crate::cuda::optim::step(&self.groups, &self.rates, algorithm) }
    }
}

impl Drop for Together {
    fn drop(&mut self) {
        // SAFETY: made by `kte_flags_new` and not used again.
        unsafe { ffi::kte_flags_free(self.flags) }
    }
}
