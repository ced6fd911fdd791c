//! The GPU half of the shim: a shared library embedded in this crate and opened from memory.

use super::open;
use crate::error::{Error, Result, first_paragraph};
use crate::ranks::SumFn;
use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
use rustix::fs::{MemfdFlags, memfd_create};
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::io::Write as _;
use std::os::fd::AsRawFd as _;
use std::sync::OnceLock;
use torch_sys::C_tensor;

/// Contents of the shared library; empty if it was built without CUDA's headers.
const BYTES: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/kasmina_cuda.so"));
const NAME: &str = "Kasmina's own GPU library";
/// Source of the kernels, which NVRTC compiles when one of them is first needed.
const KERNELS: &str =
    concat!(include_str!("../../shim/cuda/table.h"), include_str!("../../shim/cuda/kernels.cu"));

/// Declares the functions of `shim/cuda/*.cpp` and looks up each by its symbol.
macro_rules! symbols {
    ($($field:ident = $symbol:literal: fn($($arg:ty),*) $(-> $out:ty)?;)*) => {
        /// Functions of the GPU library.
        #[derive(Debug)]
        pub(super) struct Symbols {
            $(pub(super) $field: unsafe extern "C" fn($($arg),*) $(-> $out)?,)*
        }

        impl Symbols {
            fn find(library: &Library) -> std::result::Result<Self, libloading::Error> {
                // SAFETY: the library is built from this crate's sources, and the signatures are those of the
                // sources.
                unsafe { Ok(Self { $($field: *library.get($symbol)?,)* }) }
            }
        }
    };
}

symbols! {
    last_error = b"kte_cuda_last_error\0": fn() -> *const c_char;
    stream_new = b"kte_stream_new\0": fn(c_int, *mut *mut c_void) -> c_int;
    stream_handle = b"kte_stream_handle\0": fn(*const c_void) -> usize;
    stream_free = b"kte_stream_free\0": fn(*mut c_void);
    stream_enter = b"kte_stream_enter\0": fn(*mut c_void, *mut i64) -> c_int;
    stream_leave = b"kte_stream_leave\0": fn(*mut c_void, *const i64) -> c_int;
    stream_follow = b"kte_stream_follow\0": fn(*mut c_void) -> c_int;
    stream_join = b"kte_stream_join\0": fn(*mut c_void) -> c_int;
    echo_new = b"kte_echo_new\0": fn(c_int, usize, *mut *mut c_void) -> c_int;
    echo_free = b"kte_echo_free\0": fn(*mut c_void);
    echo_push = b"kte_echo_push\0": fn(*mut c_void, usize, *const C_tensor) -> c_int;
    echo_read = b"kte_echo_read\0": fn(*mut c_void, usize, *mut bool, *mut f32) -> c_int;
    device_set = b"kte_device_set\0": fn(c_int) -> c_int;
    device_synchronize = b"kte_device_synchronize\0": fn(c_int) -> c_int;
    pool_new = b"kte_pool_new\0": fn(*mut *mut c_void) -> c_int;
    pool_free = b"kte_pool_free\0": fn(*mut c_void);
    graph_begin = b"kte_graph_begin\0": fn(c_int, *mut c_void, *mut *mut c_void) -> c_int;
    graph_end = b"kte_graph_end\0": fn(*mut c_void, *mut c_void) -> c_int;
    graph_replay = b"kte_graph_replay\0": fn(*mut c_void) -> c_int;
    graph_free = b"kte_graph_free\0": fn(*mut c_void) -> c_int;
    fused_prepare = b"kte_fused_prepare\0": fn(c_int, bool) -> c_int;
    fused_source = b"kte_fused_source\0": fn(*const c_char);
    fused_batch_norm = b"kte_fused_batch_norm\0": fn(
        *const C_tensor, *const C_tensor, *const C_tensor, *const C_tensor, *const C_tensor, f64, f64, bool, bool,
        Option<SumFn>, *mut c_void, *const C_tensor, *mut *mut C_tensor
    ) -> c_int;
    fused_norm_residual = b"kte_fused_norm_residual\0": fn(
        *const C_tensor, *const C_tensor, *const C_tensor, *const C_tensor, *const C_tensor, i64, f64,
        *mut *mut C_tensor
    ) -> c_int;
    fused_mean_linear = b"kte_fused_mean_linear\0": fn(
        *const C_tensor, *const C_tensor, *const C_tensor, *mut *mut C_tensor
    ) -> c_int;
    optimizer_step = b"kte_optimizer_step\0": fn(
        *const *mut c_void, *const *const C_tensor, usize, bool, f64, f64, f64, f64, bool, *mut bool
    ) -> c_int;
    fused_lerp = b"kte_fused_lerp\0": fn(
        *const C_tensor, *const C_tensor, *const C_tensor, *mut *mut C_tensor
    ) -> c_int;
}

impl Symbols {
    /// Turns a return code into a result.
    pub(super) fn check(&self, code: c_int) -> Result<()> {
        if code == 0 {
            return Ok(());
        }
        // SAFETY: the pointer is to a NUL-terminated thread-local string that lives until the next failing
        // call.
        let text = unsafe { CStr::from_ptr((self.last_error)()) };
        Err(Error::Torch(first_paragraph(&text.to_string_lossy()).to_owned()))
    }
}

/// Returns the library, which is opened at the first call, after libtorch's CUDA library.
pub(super) fn library() -> Result<&'static Symbols> {
    static OPENED: OnceLock<Result<Symbols>> = OnceLock::new();
    OPENED.get_or_init(|| open().and_then(|()| load())).as_ref().map_err(Clone::clone)
}

fn load() -> Result<Symbols> {
    let failed = |reason: String| Error::Library { library: NAME.to_owned(), reason };
    if BYTES.is_empty() {
        return Err(failed(
            "this build was made without CUDA's headers (run `cargo xtask setup` to install them)".into(),
        ));
    }
    // An in-memory file cannot be exchanged by another process or left behind.
    let memory = memfd_create("kasmina_cuda.so", MemfdFlags::CLOEXEC).map_err(|e| failed(e.to_string()))?;
    let mut memory = std::fs::File::from(memory);
    memory.write_all(BYTES).map_err(|e| failed(e.to_string()))?;
    let path = format!("/proc/self/fd/{}", memory.as_raw_fd());
    // SAFETY: built from this crate's own sources; its constructors register nothing. It is never closed.
    let library = unsafe { Library::open(Some(path), RTLD_NOW | RTLD_LOCAL) }.map_err(|e| {
        failed(std::error::Error::source(&e).map_or_else(|| e.to_string(), ToString::to_string))
    })?;
    let symbols = Symbols::find(&library).map_err(|e| failed(e.to_string()))?;
    std::mem::forget(library);
    // The descriptor stays open: the loader identifies libraries by path, so it would mistake another file
    // with this descriptor's number for this library.
    std::mem::forget(memory);
    let source = CString::new(KERNELS).map_err(|e| failed(e.to_string()))?;
    // SAFETY: the string is NUL-terminated and copied before the call returns.
    unsafe { (symbols.fused_source)(source.as_ptr()) };
    Ok(symbols)
}

#[cfg(test)]
mod tests {
    use super::{BYTES, KERNELS, NAME, library};

    #[test]
    fn the_library_is_carried_and_says_why_it_cannot_be_used() {
        assert_eq!(BYTES.get(..4), Some(b"\x7fELF".as_slice()), "built without CUDA's headers");
        assert!(KERNELS.contains("extern \"C\" __global__ void bn_forward"));
        // Without libtorch's CUDA library it cannot be opened; then the error says so.
        if let Err(error) = library() {
            let text = error.to_string();
            assert!(text.contains("libtorch_cuda.so") || text.contains(NAME), "{text}");
        }
    }
}
