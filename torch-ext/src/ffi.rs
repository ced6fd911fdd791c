//! Declarations of the shim's functions (`shim/*.cpp`), and conversion of their return codes to errors.

use crate::error::{Error, Result, first_paragraph};
use crate::ranks::{BatchNormFn, SumFn};
use std::ffi::{CStr, c_char, c_int, c_void};
use tch::Tensor;
use torch_sys::C_tensor;

/// A function that receives bytes, which it must copy.
pub(crate) type WriteBytes = extern "C" fn(context: *mut c_void, bytes: *const c_char, length: usize);

unsafe extern "C" {
    fn kte_last_error() -> *const c_char;

    pub(crate) fn kte_straight_through(
        host: *const C_tensor,
        seed: *const C_tensor,
        out: *mut *mut C_tensor,
    ) -> c_int;
    pub(crate) fn kte_version(tensor: *const C_tensor, out: *mut u32) -> c_int;
    pub(crate) fn kte_is_channels_last(tensor: *const C_tensor, out: *mut bool) -> c_int;
    pub(crate) fn kte_to_channels_last(tensor: *const C_tensor, out: *mut *mut C_tensor) -> c_int;

    pub(crate) fn kte_autocast_enter(cuda: bool, before: *mut bool) -> c_int;
    pub(crate) fn kte_autocast_leave(cuda: bool, before: bool) -> c_int;

    pub(crate) fn kte_group_new(
        params: *const *const C_tensor,
        first: *const *const C_tensor,
        second: *const *const C_tensor,
        steps: *const *const C_tensor,
        all_steps: *const C_tensor,
        n: usize,
        found_inf: *const C_tensor,
        one: *const C_tensor,
        out: *mut *mut c_void,
    ) -> c_int;
    pub(crate) fn kte_group_fingerprint(group: *const c_void) -> u64;
    pub(crate) fn kte_group_free(group: *mut c_void);
    pub(crate) fn kte_sgd_step(
        group: *mut c_void,
        lr: *const C_tensor,
        momentum: f64,
        weight_decay: f64,
        nesterov: bool,
    ) -> c_int;
    pub(crate) fn kte_adamw_step(
        group: *mut c_void,
        lr: *const C_tensor,
        beta1: f64,
        beta2: f64,
        weight_decay: f64,
        eps: f64,
    ) -> c_int;
    pub(crate) fn kte_flags_new(
        found: *const *const C_tensor,
        skipped: *const *const C_tensor,
        n: usize,
        out: *mut *mut c_void,
    ) -> c_int;
    pub(crate) fn kte_flags_free(flags: *mut c_void);
    pub(crate) fn kte_flags_lower(flags: *mut c_void) -> c_int;
    pub(crate) fn kte_flags_count(flags: *mut c_void) -> c_int;

    pub(crate) fn kte_trace_start(cuda: bool) -> c_int;
    pub(crate) fn kte_trace_stop(
        path: *const c_char,
        each: extern "C" fn(*mut c_void, *const c_char, u64),
        context: *mut c_void,
    ) -> c_int;

    pub(crate) fn kte_script_load(
        archive: *const c_char,
        length: usize,
        cuda: i64,
        forbidden: extern "C" fn(*mut c_void, *const c_char),
        context: *mut c_void,
        out: *mut *mut c_void,
    ) -> c_int;
    pub(crate) fn kte_script_free(script: *mut c_void);
    pub(crate) fn kte_script_calls(
        script: *const c_void,
        each: extern "C" fn(*mut c_void, *const c_char, *const c_char, bool, i64, bool),
        context: *mut c_void,
    ) -> c_int;
    pub(crate) fn kte_script_variables(
        script: *const c_void,
        each: extern "C" fn(*mut c_void, *const c_char, *mut C_tensor),
        context: *mut c_void,
    ) -> c_int;
    pub(crate) fn kte_script_attach(script: *mut c_void, paths: *const *const c_char, n: usize) -> c_int;
    pub(crate) fn kte_script_save_with(
        script: *mut c_void,
        paths: *const *const c_char,
        names: *const *const c_char,
        modules: *const *mut c_void,
        n: usize,
        write: WriteBytes,
        context: *mut c_void,
    ) -> c_int;
    pub(crate) fn kte_traced_new(out: *mut *mut c_void) -> c_int;
    pub(crate) fn kte_traced_free(module: *mut c_void);
    pub(crate) fn kte_traced_add(
        module: *mut c_void,
        name: *const c_char,
        tensor: *const C_tensor,
        parameter: bool,
    ) -> c_int;
    pub(crate) fn kte_traced_forward(
        module: *mut c_void,
        one: *const C_tensor,
        two: *const C_tensor,
        callback: extern "C" fn(*mut c_void, i64, *mut C_tensor) -> *mut C_tensor,
        context: *mut c_void,
    ) -> c_int;
    pub(crate) fn kte_traced_save(module: *const c_void, write: WriteBytes, context: *mut c_void) -> c_int;
    pub(crate) fn kte_store_new(
        host: *const c_char,
        port: u16,
        serves: bool,
        listener: c_int,
        prefix: *const c_char,
        timeout: i64,
        found: *mut u16,
        out: *mut *mut c_void,
    ) -> c_int;
    pub(crate) fn kte_store_free(store: *mut c_void);
    pub(crate) fn kte_store_clone(store: *mut c_void, out: *mut *mut c_void) -> c_int;
    pub(crate) fn kte_store_set(
        store: *mut c_void,
        key: *const c_char,
        value: *const c_char,
        length: usize,
    ) -> c_int;
    pub(crate) fn kte_store_get(
        store: *mut c_void,
        key: *const c_char,
        timeout: i64,
        write: WriteBytes,
        context: *mut c_void,
    ) -> c_int;
    pub(crate) fn kte_store_add(store: *mut c_void, key: *const c_char, amount: i64, sum: *mut i64) -> c_int;
    pub(crate) fn kte_store_check(store: *mut c_void, key: *const c_char, found: *mut bool) -> c_int;
    pub(crate) fn kte_store_delete(store: *mut c_void, key: *const c_char) -> c_int;
    pub(crate) fn kte_neighbours(
        module: *mut c_void,
        x: *const C_tensor,
        callback: extern "C" fn(*mut c_void, i64, *mut C_tensor) -> *mut C_tensor,
        context: *mut c_void,
        write: WriteBytes,
        lines: *mut c_void,
    ) -> c_int;
    pub(crate) fn kte_script_train(script: *mut c_void, train: bool) -> c_int;
    pub(crate) fn kte_script_forward(
        script: *mut c_void,
        x: *const C_tensor,
        at: extern "C" fn(*mut c_void, i64, *mut C_tensor) -> *mut C_tensor,
        context: *mut c_void,
        out: *mut *mut C_tensor,
    ) -> c_int;

    pub(crate) fn kte_gloo_new(
        store: *mut c_void,
        rank: c_int,
        size: c_int,
        host: *const c_char,
        timeout: i64,
        out: *mut *mut c_void,
    ) -> c_int;
    pub(crate) fn kte_gloo_free(ranks: *mut c_void);
    pub(crate) fn kte_gloo_sum(ranks: *mut c_void, tensor: *const C_tensor) -> c_int;
    pub(crate) fn kte_gloo_gather(ranks: *mut c_void, tensor: *const C_tensor, all: *const C_tensor)
    -> c_int;
    pub(crate) fn kte_gloo_broadcast(ranks: *mut c_void, tensor: *const C_tensor, root: c_int) -> c_int;
    pub(crate) fn kte_gloo_wait(ranks: *mut c_void) -> c_int;

    pub(crate) fn kte_buckets_new(
        params: *const *const C_tensor,
        bucket_of: *const usize,
        n: usize,
        buckets: usize,
        kind: c_int,
        flag: *const C_tensor,
        out: *mut *mut c_void,
    ) -> c_int;
    pub(crate) fn kte_buckets_free(buckets: *mut c_void);
    pub(crate) fn kte_buckets_flag(buckets: *mut c_void, out: *mut *mut C_tensor) -> c_int;
    pub(crate) fn kte_buckets_arm(
        buckets: *mut c_void,
        start: extern "C" fn(*mut c_void, *const *mut C_tensor, usize) -> c_int,
        context: *mut c_void,
    ) -> c_int;
    pub(crate) fn kte_buckets_disarm(buckets: *mut c_void);
    pub(crate) fn kte_buckets_flush(buckets: *mut c_void) -> c_int;
    pub(crate) fn kte_buckets_hand_over(buckets: *mut c_void) -> c_int;
    pub(crate) fn kte_buckets_order(buckets: *mut c_void, out: *mut usize, n: *mut usize) -> c_int;

    pub(crate) fn kte_batch_norm_sync(
        sum: SumFn,
        context: *mut c_void,
        present: *const C_tensor,
        on_gpu: Option<BatchNormFn>,
        before: *mut *mut c_void,
    ) -> c_int;
    pub(crate) fn kte_batch_norm_leave(before: *mut c_void);

    pub(crate) fn kte_cpu_capability() -> *const c_char;
    pub(crate) fn kte_cuda_versions(runtime: *mut i64, cudnn: *mut i64) -> c_int;
    pub(crate) fn kte_convolutions(benchmark: bool, deterministic: bool) -> c_int;

    pub(crate) fn kte_memory_start(count: *mut *mut c_void) -> c_int;
    pub(crate) fn kte_memory_read(count: *const c_void, live: *mut i64, allocations: *mut u64) -> c_int;
    pub(crate) fn kte_memory_stop(count: *mut c_void) -> c_int;
    pub(crate) fn kte_zero_grad(params: *const *const C_tensor, n: usize) -> c_int;
    pub(crate) fn kte_grad_norm(params: *const *const C_tensor, n: usize, out: *mut *mut C_tensor) -> c_int;

    pub(crate) fn kte_rng_count(out: *mut usize) -> c_int;
    pub(crate) fn kte_rng_save(out: *mut *mut C_tensor, n: usize) -> c_int;
    pub(crate) fn kte_rng_restore(states: *const *const C_tensor, n: usize) -> c_int;
    pub(crate) fn kte_rng_seed(seed: u64) -> c_int;

    pub(crate) fn kte_flops_start(handle: *mut u64) -> c_int;
    pub(crate) fn kte_flops_stop(handle: u64, out: *mut u64) -> c_int;

    pub(crate) fn kte_ops_start(handle: *mut u64) -> c_int;
    pub(crate) fn kte_ops_stop(
        handle: u64,
        each: extern "C" fn(*mut c_void, *const c_char, u64),
        context: *mut c_void,
    ) -> c_int;
}

/// Turns a return code of the shim into a result.
pub(crate) fn check(code: c_int) -> Result<()> {
    if code == 0 {
        return Ok(());
    }
    // SAFETY: the pointer is to a NUL-terminated thread-local string that lives until the next failing call.
    let text = unsafe { CStr::from_ptr(kte_last_error()) };
    Err(Error::Torch(first_paragraph(&text.to_string_lossy()).to_owned()))
}

/// Calls a function of the shim that writes one new tensor to its output pointer, and returns that tensor.
pub(crate) fn new_tensor(call: impl FnOnce(*mut *mut C_tensor) -> c_int) -> Result<Tensor> {
    let mut out = std::ptr::null_mut();
    check(call(&raw mut out))?;
    // SAFETY: on success the shim wrote a fresh `at::Tensor*` that nobody else owns.
    Ok(unsafe { Tensor::from_ptr(out) })
}

/// Returns the raw handles of `tensors`. They are valid only while the tensors live.
pub(crate) fn handles<'a>(tensors: impl IntoIterator<Item = &'a Tensor>) -> Vec<*const C_tensor> {
    tensors.into_iter().map(Tensor::as_ptr).collect()
}

/// Runs a call that writes bytes, and returns them.
pub(crate) fn collect_bytes(call: impl FnOnce(WriteBytes, *mut c_void) -> c_int) -> Result<Vec<u8>> {
    extern "C" fn write(context: *mut c_void, bytes: *const c_char, length: usize) {
        if length == 0 {
            // The address of nothing may be null.
            return;
        }
        // SAFETY: `context` is the vector passed below, borrowed for the call; the bytes are live.
        let (all, bytes) = unsafe {
            (&mut *context.cast::<Vec<u8>>(), std::slice::from_raw_parts(bytes.cast::<u8>(), length))
        };
        all.extend_from_slice(bytes);
    }
    let mut bytes: Vec<u8> = Vec::new();
    let context: *mut Vec<u8> = &raw mut bytes;
    check(call(write, context.cast()))?;
    Ok(bytes)
}
