//! Profiling with libtorch's own profiler.

use crate::error::{Error, Result};
use crate::ffi;
use std::ffi::{CStr, CString, c_char, c_void};
use std::marker::PhantomData;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::time::Duration;
use tch::Device;

/// A running profile of the operations of this thread and the activity of the device. A process has at most
/// one at a time.
#[derive(Debug)]
pub struct Trace {
    running: bool,
    /// Makes the type `!Send`: the profile belongs to the thread that started it.
    _thread: PhantomData<*const ()>,
}

/// A kernel or copy that ran on the device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// Name of the kernel, or kind of the copy.
    pub name: String,
    /// Duration on the device.
    pub took: Duration,
}

impl Trace {
    /// Starts the profiler, with device activity if `device` is a GPU.
    ///
    /// # Errors
    /// If libtorch's profiler cannot start, for instance because another profile is running.
    pub fn start(device: Device) -> Result<Self> {
        // SAFETY: no pointers are passed.
        ffi::check(unsafe { ffi::kte_trace_start(device.is_cuda()) })?;
        Ok(Self { running: true, _thread: PhantomData })
    }

    /// Stops the profiler and returns everything that ran on the device, in the profiler's order. Writes the
    /// whole trace to `path`, if given, as JSON that Perfetto and chrome://tracing open. Callers must wait
    /// for the device first.
    ///
    /// # Errors
    /// If the profiler fails or the file cannot be written.
    pub fn finish(mut self, path: Option<&Path>) -> Result<Vec<Ran>> {
        self.running = false;
        let path = path.map(|path| CString::new(path.as_os_str().as_bytes())).transpose();
        let path = path.map_err(|e| Error::Torch(format!("invalid path of the trace: {e}")))?;
        let mut ran = Vec::new();
        stop(path.as_deref(), &mut ran)?;
        Ok(ran)
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        if self.running {
            let _ = stop(None, &mut Vec::new());
        }
    }
}

fn stop(path: Option<&CStr>, ran: &mut Vec<Ran>) -> Result<()> {
    extern "C" fn each(context: *mut c_void, name: *const c_char, nanoseconds: u64) {
        // SAFETY: `context` is the list passed below, borrowed for the call; `name` is NUL-terminated.
        let (ran, name) = unsafe { (&mut *context.cast::<Vec<Ran>>(), CStr::from_ptr(name)) };
        let took = Duration::from_nanos(nanoseconds);
        ran.push(Ran { name: name.to_string_lossy().into_owned(), took });
    }
    let context: *mut Vec<Ran> = ran;
    let path = path.map_or(std::ptr::null(), CStr::as_ptr);
    // SAFETY: the path is NUL-terminated or null, the callback matches the declaration, `context` outlives
    // the call.
    ffi::check(unsafe { ffi::kte_trace_stop(path, each, context.cast()) })
}
