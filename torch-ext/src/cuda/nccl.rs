//! Collective operations on GPUs, by the NCCL library that comes with libtorch's GPU libraries.
//!
//! The library is opened at run time. Communicators are non-blocking, so that a rank that is lost is an error
//! within a time limit. Source of the interface: NVIDIA's "NCCL API" reference.

use super::{Stream, open};
use crate::error::{Error, Result};
use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};
use std::ffi::{CStr, c_char, c_int, c_void};
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use tch::{Device, Kind, Tensor};

const LIBRARY: &str = "libnccl.so.2";
/// Length of the identifier of a group of communicators in bytes.
pub(crate) const ID_BYTES: usize = 128;
/// Time between two looks at an operation in progress.
const PAUSE: Duration = Duration::from_micros(50);

const SUCCESS: c_int = 0;
const IN_PROGRESS: c_int = 7;
const SUM: c_int = 0;

/// `ncclUniqueId`.
#[repr(C)]
#[derive(Clone, Copy)]
struct UniqueId([c_char; ID_BYTES]);

/// `ncclConfig_t` as of version 2.18. Later versions read it by its `size` and `version`.
#[repr(C)]
struct Config {
    size: usize,
    magic: u32,
    version: u32,
    blocking: c_int,
    cga_cluster_size: c_int,
    min_ctas: c_int,
    max_ctas: c_int,
    net_name: *const c_char,
    split_share: c_int,
}

impl Config {
    /// Value of a setting that NCCL chooses.
    const UNSET: c_int = c_int::MIN;

    const fn non_blocking() -> Self {
        Self {
            size: size_of::<Self>(),
            magic: 0xcafe_beef,
            version: 21_800,
            blocking: 0,
            cga_cluster_size: Self::UNSET,
            min_ctas: Self::UNSET,
            max_ctas: Self::UNSET,
            net_name: std::ptr::null(),
            split_share: Self::UNSET,
        }
    }
}

/// Declares functions of NCCL and looks up each by its name.
macro_rules! functions {
    ($($field:ident = $name:literal: fn($($arg:ty),*) -> $out:ty;)*) => {
        #[derive(Debug)]
        struct Functions {
            $($field: unsafe extern "C" fn($($arg),*) -> $out,)*
        }

        impl Functions {
            fn find(library: &Library) -> std::result::Result<Self, libloading::Error> {
                // SAFETY: the signatures are those of NCCL's header since version 2.18.
                unsafe { Ok(Self { $($field: *library.get($name)?,)* }) }
            }
        }
    };
}

functions! {
    unique_id = b"ncclGetUniqueId\0": fn(*mut UniqueId) -> c_int;
    init = b"ncclCommInitRankConfig\0": fn(*mut *mut c_void, c_int, UniqueId, c_int, *mut Config) -> c_int;
    async_error = b"ncclCommGetAsyncError\0": fn(*mut c_void, *mut c_int) -> c_int;
    last_error = b"ncclGetLastError\0": fn(*mut c_void) -> *const c_char;
    error_text = b"ncclGetErrorString\0": fn(c_int) -> *const c_char;
    abort = b"ncclCommAbort\0": fn(*mut c_void) -> c_int;
    finalize = b"ncclCommFinalize\0": fn(*mut c_void) -> c_int;
    destroy = b"ncclCommDestroy\0": fn(*mut c_void) -> c_int;
    group_start = b"ncclGroupStart\0": fn() -> c_int;
    group_end = b"ncclGroupEnd\0": fn() -> c_int;
    all_reduce = b"ncclAllReduce\0":
        fn(*const c_void, *mut c_void, usize, c_int, c_int, *mut c_void, *mut c_void) -> c_int;
    all_gather = b"ncclAllGather\0":
        fn(*const c_void, *mut c_void, usize, c_int, *mut c_void, *mut c_void) -> c_int;
    broadcast = b"ncclBroadcast\0":
        fn(*const c_void, *mut c_void, usize, c_int, c_int, *mut c_void, *mut c_void) -> c_int;
}

/// Returns the functions of NCCL, which is opened at the first call, after libtorch's CUDA library.
fn functions() -> Result<&'static Functions> {
    static OPENED: OnceLock<Result<Functions>> = OnceLock::new();
    OPENED.get_or_init(|| open().and_then(|()| load())).as_ref().map_err(Clone::clone)
}

fn load() -> Result<Functions> {
    let failed =
        |e: &libloading::Error| Error::Library { library: LIBRARY.to_owned(), reason: e.to_string() };
    // SAFETY: libtorch's CUDA library needs NCCL and has loaded it already, so this is the same library.
    let library = unsafe { Library::open(Some(LIBRARY), RTLD_NOW | RTLD_GLOBAL) }.map_err(|e| failed(&e))?;
    let functions = Functions::find(&library).map_err(|e| failed(&e))?;
    std::mem::forget(library);
    Ok(functions)
}

/// Returns a new identifier, which one rank passes to all.
///
/// # Errors
/// If NCCL cannot be opened, or finds no network interface.
pub(crate) fn new_id() -> Result<[u8; ID_BYTES]> {
    let functions = functions()?;
    let mut id = UniqueId([0; ID_BYTES]);
    // SAFETY: the output pointer is valid.
    let code = unsafe { (functions.unique_id)(&raw mut id) };
    if code != SUCCESS {
        return Err(failure(functions, std::ptr::null_mut(), code));
    }
    Ok(id.0.map(|byte| byte as u8))
}

/// The communicator of one rank on one GPU.
#[derive(Debug)]
pub(crate) struct Communicator {
    functions: &'static Functions,
    raw: *mut c_void,
    /// Longest time that a call may be in progress.
    limit: Duration,
}

// SAFETY: NCCL allows calls from any thread, one at a time; `Nccl` keeps it behind a lock.
unsafe impl Send for Communicator {}

impl Communicator {
    /// Connects a rank with the others, which call this with the same identifier. The GPU must be current.
    ///
    /// # Errors
    /// If they are not connected within the time, or NCCL fails.
    pub(crate) fn connect(
        id: &[u8; ID_BYTES],
        rank: usize,
        size: usize,
        device: Device,
        limit: Duration,
    ) -> Result<Self> {
        let functions = functions()?;
        // A tensor on the device makes it current and creates its context.
        let _on = Tensor::f_zeros([1], (Kind::Float, device))?;
        crate::cuda::make_current(device)?;
        let mut config = Config::non_blocking();
        let (mut raw, id) = (std::ptr::null_mut(), UniqueId(id.map(|byte| byte as c_char)));
        let number = |n: usize| c_int::try_from(n).unwrap_or(c_int::MAX);
        // SAFETY: all pointers are valid; the configuration has the layout of its version.
        let code = unsafe { (functions.init)(&raw mut raw, number(size), id, number(rank), &raw mut config) };
        let connected = Self { functions, raw, limit };
        connected.settle(code)?;
        Ok(connected)
    }

    /// Waits until a call is not in progress any more.
    fn settle(&self, code: c_int) -> Result<()> {
        let (mut code, begun) = (code, Instant::now());
        while code == IN_PROGRESS {
            if begun.elapsed() > self.limit {
                let text = format!("NCCL was not ready within {:.0} s", self.limit.as_secs_f64());
                return Err(Error::Torch(text));
            }
            std::thread::sleep(PAUSE);
            code = self.state()?;
        }
        if code == SUCCESS { Ok(()) } else { Err(failure(self.functions, self.raw, code)) }
    }

    /// Returns the state of the newest call.
    fn state(&self) -> Result<c_int> {
        let mut state = SUCCESS;
        // SAFETY: the communicator is live; the output pointer is valid.
        let code = unsafe { (self.functions.async_error)(self.raw, &raw mut state) };
        if code == SUCCESS { Ok(state) } else { Err(failure(self.functions, self.raw, code)) }
    }

    /// Queues the replacement of each tensor by its sum over all ranks, as one operation of the GPU.
    ///
    /// # Errors
    /// If the dtype is not supported, or NCCL fails.
    pub(crate) fn sums(&self, tensors: &[&Tensor], stream: &Stream) -> Result<()> {
        if let [tensor] = tensors {
            return self.settle(self.sum(tensor, stream)?);
        }
        // SAFETY: without arguments.
        self.settle(unsafe { (self.functions.group_start)() })?;
        let mut queued = Ok(SUCCESS);
        for tensor in tensors {
            queued = match queued {
                Ok(SUCCESS | IN_PROGRESS) => self.sum(tensor, stream),
                failed => failed,
            };
        }
        // SAFETY: as above. A group must end whatever has happened in it.
        let ended = unsafe { (self.functions.group_end)() };
        match queued? {
            SUCCESS | IN_PROGRESS => self.settle(ended),
            failed => Err(failure(self.functions, self.raw, failed)),
        }
    }

    /// Queues the replacement of a tensor by its sum over all ranks, and returns NCCL's code.
    fn sum(&self, tensor: &Tensor, stream: &Stream) -> Result<c_int> {
        let (data, count, kind) = (tensor.data_ptr(), tensor.numel(), kind(tensor)?);
        // SAFETY: the tensor is dense and lives until the stream has run, as the caller promises.
        Ok(unsafe {
            (self.functions.all_reduce)(
                data,
                data,
                count,
                kind,
                SUM,
                self.raw,
                stream.handle() as *mut c_void,
            )
        })
    }

    /// Queues the collection of the tensors of all ranks in `all`.
    ///
    /// # Errors
    /// As [`sums`](Self::sums).
    pub(crate) fn gather(&self, tensor: &Tensor, all: &Tensor, stream: &Stream) -> Result<()> {
        let (from, to, count) = (tensor.data_ptr(), all.data_ptr(), tensor.numel());
        // SAFETY: as in `sums`; `all` has room for the tensors of all ranks.
        let code = unsafe {
            (self.functions.all_gather)(
                from,
                to,
                count,
                kind(tensor)?,
                self.raw,
                stream.handle() as *mut c_void,
            )
        };
        self.settle(code)
    }

    /// Queues the replacement of a tensor by that of the rank `root`.
    ///
    /// # Errors
    /// As [`sums`](Self::sums).
    pub(crate) fn broadcast(&self, tensor: &Tensor, root: usize, stream: &Stream) -> Result<()> {
        let (data, count, kind) = (tensor.data_ptr(), tensor.numel(), kind(tensor)?);
        let root = c_int::try_from(root).unwrap_or(c_int::MAX);
        // SAFETY: as in `sums`.
        let code = unsafe {
            (self.functions.broadcast)(
                data,
                data,
                count,
                kind,
                root,
                self.raw,
                stream.handle() as *mut c_void,
            )
        };
        self.settle(code)
    }

    /// Ends all operations of this rank, also those that wait for other ranks.
    pub(crate) fn abort(&mut self) {
        let raw = std::mem::replace(&mut self.raw, std::ptr::null_mut());
        if !raw.is_null() {
            // SAFETY: the communicator is live, and not used again.
            let _ = unsafe { (self.functions.abort)(raw) };
        }
    }

    /// Closes the communicator together with the other ranks. Graphs that contain its operations must be
    /// gone.
    pub(crate) fn close(&mut self) {
        if self.raw.is_null() {
            return;
        }
        // SAFETY: the communicator is live.
        let code = unsafe { (self.functions.finalize)(self.raw) };
        if self.settle(code).is_err() {
            return self.abort();
        }
        let raw = std::mem::replace(&mut self.raw, std::ptr::null_mut());
        // SAFETY: finalized, and not used again.
        let _ = unsafe { (self.functions.destroy)(raw) };
    }
}

impl Drop for Communicator {
    fn drop(&mut self) {
        self.abort();
    }
}

/// Returns NCCL's number of a tensor's dtype.
fn kind(tensor: &Tensor) -> Result<c_int> {
    match tensor.kind() {
        Kind::Int8 => Ok(0),
        Kind::Uint8 => Ok(1),
        Kind::Int => Ok(2),
        Kind::Int64 => Ok(4),
        Kind::Half => Ok(6),
        Kind::Float => Ok(7),
        Kind::Double => Ok(8),
        Kind::BFloat16 => Ok(9),
        other => Err(Error::Torch(format!("tensors of {other:?} cannot be sent to other ranks"))),
    }
}

/// Returns the error of a failed call.
fn failure(functions: &Functions, raw: *mut c_void, code: c_int) -> Error {
    // SAFETY: NCCL returns NUL-terminated texts that are never freed, for every code.
    let text = |text: *const c_char| unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned();
    // SAFETY: as above; a null communicator is allowed.
    let (what, last) = unsafe { (text((functions.error_text)(code)), text((functions.last_error)(raw))) };
    Error::Torch(format!("NCCL: {what} {}", last.trim()).trim().to_owned())
}
