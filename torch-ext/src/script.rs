//! TorchScript modules with taps behind the calls of their submodules.

use crate::archive;
use crate::error::{Error, Result};
use crate::ffi;
use std::any::Any;
use std::ffi::{CStr, CString, c_char, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use tch::{Device, Tensor};
use torch_sys::C_tensor;

/// A scripted or traced module, as `torch.jit.save` writes it, that takes one tensor and returns one.
///
/// It is interpreted as it is written, operation by operation: nothing is profiled, fused or compiled, so
/// results are those of the same operations called one by one, and gradients, autocast and generators are the
/// ordinary ones. Two loaded from one file share nothing.
#[derive(Debug)]
pub struct Script {
    raw: *mut c_void,
}

// SAFETY: a module and its graph are reference-counted with atomics and tied to no thread; `Script` is not
// Sync, and everything that changes it takes `&mut self`.
unsafe impl Send for Script {}

/// A submodule that forward calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Its dotted path from the root, by which it is called.
    pub path: String,
    /// Whether a tap can stand behind it.
    pub fit: Fit,
}

/// Whether a tap can stand behind a call.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fit {
    /// A tap can stand behind the call.
    Fits,
    /// It is called at several places.
    Repeated(i64),
    /// It is called inside an `if` or a loop: how often is not known.
    Conditional,
    /// It returns something else than one tensor; the type as TorchScript writes it.
    Returns(String),
}

/// Why a forward pass failed.
#[derive(Debug)]
pub enum Failed<E> {
    /// The module or libtorch failed.
    Torch(Error),
    /// A tap; its own error.
    Tap(E),
}

impl Script {
    /// Reads the bytes of an archive onto a device. Nothing of its code runs: what would run while it is
    /// loaded is refused before, and what does more than compute is refused by name.
    ///
    /// # Errors
    /// If it is no archive of a module, uses what is not allowed, is too large or nested too deeply, or its
    /// `forward` does not take and return one tensor.
    pub fn load(bytes: &[u8], device: Device) -> Result<Self> {
        archive::check(bytes).map_err(|found| {
            Error::Torch(format!("it is no module that torch.jit.save has written: {found}"))
        })?;
        let cuda = match device {
            Device::Cuda(index) => index as i64,
            _ => -1,
        };
        let mut raw = std::ptr::null_mut();
        let mut names: Vec<String> = Vec::new();
        let context: *mut Vec<String> = &raw mut names;
        // SAFETY: the bytes are live for the call, which keeps none of them; the callback matches the
        // declaration, its context outlives the call, and the place is valid.
        let code = with_deep_stack(|| unsafe {
            ffi::kte_script_load(
                bytes.as_ptr().cast(),
                bytes.len(),
                cuda,
                forbidden,
                context.cast(),
                &raw mut raw,
            )
        });
        ffi::check(code).map_err(plainly)?;
        if raw.is_null() {
            return Err(Error::Forbidden { names });
        }
        Ok(Self { raw })
    }

    /// The submodules that forward calls, nested ones included, in the order in which their calls return:
    /// that in which taps behind them would be reached.
    ///
    /// # Errors
    /// If libtorch refuses.
    pub fn calls(&self) -> Result<Vec<Call>> {
        extern "C" fn each(
            context: *mut c_void,
            path: *const c_char,
            returns: *const c_char,
            tensor: bool,
            times: i64,
            conditional: bool,
        ) {
            // SAFETY: `context` is the list passed below, borrowed for the call; both texts are
            // NUL-terminated.
            let (calls, path, returns) =
                unsafe { (&mut *context.cast::<Vec<Call>>(), CStr::from_ptr(path), CStr::from_ptr(returns)) };
            let fit = match (times, conditional, tensor) {
                (_, true, _) => Fit::Conditional,
                (1, _, true) => Fit::Fits,
                (1, _, false) => Fit::Returns(returns.to_string_lossy().into_owned()),
                (times, ..) => Fit::Repeated(times),
            };
            calls.push(Call { path: path.to_string_lossy().into_owned(), fit });
        }
        let mut calls: Vec<Call> = Vec::new();
        let context: *mut Vec<Call> = &raw mut calls;
        // SAFETY: the module is live, the callback matches the declaration and `context` outlives the call.
        ffi::check(with_deep_stack(|| unsafe { ffi::kte_script_calls(self.raw, each, context.cast()) }))?;
        Ok(calls)
    }

    /// The tensors that the module holds, by dotted name: handles on those that it computes with. One that
    /// has several names (tied weights) is listed by its first, and stays one tensor.
    ///
    /// # Errors
    /// If libtorch refuses.
    pub fn variables(&self) -> Result<Vec<(String, Tensor)>> {
        extern "C" fn each(context: *mut c_void, name: *const c_char, tensor: *mut C_tensor) {
            // SAFETY: `context` is the list passed below, borrowed for the call; the name is NUL-terminated;
            // the tensor is a fresh handle that nobody else owns.
            let (variables, name, tensor) = unsafe {
                let variables = &mut *context.cast::<Vec<(String, Tensor)>>();
                (variables, CStr::from_ptr(name), Tensor::from_ptr(tensor))
            };
            variables.push((name.to_string_lossy().into_owned(), tensor));
        }
        let mut variables: Vec<(String, Tensor)> = Vec::new();
        let context: *mut Vec<(String, Tensor)> = &raw mut variables;
        // SAFETY: the module is live, the callback matches the declaration and `context` outlives the call.
        ffi::check(unsafe { ffi::kte_script_variables(self.raw, each, context.cast()) })?;
        Ok(variables)
    }

    /// Puts taps behind the calls of these submodules, in place of those that were there: tap `i` behind
    /// `paths[i]`.
    ///
    /// # Errors
    /// If one of them is not called where a tap can stand (see [`Script::calls`]); then nothing has changed.
    pub fn attach<P: AsRef<str>>(&mut self, paths: &[P]) -> Result<()> {
        let paths =
            paths.iter().map(|path| CString::new(path.as_ref())).collect::<std::result::Result<Vec<_>, _>>();
        let paths = paths.map_err(|e| Error::Torch(format!("the path of a submodule: {e}")))?;
        let pointers: Vec<*const c_char> = paths.iter().map(|path| path.as_ptr()).collect();
        // SAFETY: the module is live and not in use elsewhere; the texts are NUL-terminated and live for the
        // call.
        let attach = || unsafe { ffi::kte_script_attach(self.raw, pointers.as_ptr(), pointers.len()) };
        ffi::check(with_deep_stack(attach)).map_err(plainly)
    }

    /// Training or measuring, for the module and all its submodules.
    ///
    /// # Errors
    /// If libtorch refuses.
    pub fn train(&mut self, on: bool) -> Result<()> {
        // SAFETY: the module is live and not in use elsewhere.
        ffi::check(unsafe { ffi::kte_script_train(self.raw, on) })
    }

    /// The module's output. Behind each submodule that has a tap, what it returned is handed to `tap`, and
    /// what `tap` gives back flows on.
    ///
    /// # Shapes
    /// The module's.
    ///
    /// # Errors
    /// What the tap said, as it said it, or what the module or libtorch refused. A panic of the tap goes on
    /// here.
    pub fn forward<E>(
        &mut self,
        x: &Tensor,
        tap: &mut dyn FnMut(usize, Tensor) -> std::result::Result<Tensor, E>,
    ) -> std::result::Result<Tensor, Failed<E>> {
        let mut lent = Lent { tap, failed: None };
        let context: *mut Lent<'_, E> = &raw mut lent;
        let output = ffi::new_tensor(|out| {
            // SAFETY: the module is live and not in use elsewhere, the input is live; the callback is that of
            // `context`, which outlives the call and is touched by nobody else during it.
            unsafe { ffi::kte_script_forward(self.raw, x.as_ptr(), at::<E>, context.cast(), out) }
        });
        match (lent.failed, output) {
            (Some(Stop::Error(error)), _) => Err(Failed::Tap(error)),
            (Some(Stop::Panic(payload)), _) => resume_unwind(payload),
            (None, output) => output.map_err(|error| Failed::Torch(plainly(error))),
        }
    }
}

/// Runs a function that recurses over the parts of a module, on a stack that suffices for the largest module
/// allowed; its pages take memory only where they are used.
fn with_deep_stack<T>(body: impl FnOnce() -> T) -> T {
    const STACK: usize = 256 << 20;
    stacker::grow(STACK, body)
}

extern "C" fn forbidden(context: *mut c_void, name: *const c_char) {
    // SAFETY: `context` is the list that `load` passes, borrowed for the call; the name is NUL-terminated.
    let (names, name) = unsafe { (&mut *context.cast::<Vec<String>>(), CStr::from_ptr(name)) };
    names.push(name.to_string_lossy().into_owned());
}

impl Drop for Script {
    fn drop(&mut self) {
        // SAFETY: made by `kte_script_load` and not used again.
        unsafe { ffi::kte_script_free(self.raw) }
    }
}

/// A tap for the duration of one forward, and what has ended it.
struct Lent<'a, E> {
    tap: &'a mut dyn FnMut(usize, Tensor) -> std::result::Result<Tensor, E>,
    failed: Option<Stop<E>>,
}

enum Stop<E> {
    Error(E),
    Panic(Box<dyn Any + Send>),
}

/// Null ends the forward. Nothing unwinds through the C++ in between.
extern "C" fn at<E>(context: *mut c_void, slot: i64, features: *mut C_tensor) -> *mut C_tensor {
    // SAFETY: `context` is what `forward` passed, for the call that it waits for; the features are a fresh
    // handle that is ours now.
    let (lent, features) = unsafe { (&mut *context.cast::<Lent<'_, E>>(), Tensor::from_ptr(features)) };
    // A number that no tap has can only come from the module's own code; it ends up as a slot that there is
    // not.
    let slot = usize::try_from(slot).unwrap_or(usize::MAX);
    match catch_unwind(AssertUnwindSafe(|| (lent.tap)(slot, features))) {
        Ok(Ok(flows)) => {
            let mut flows = std::mem::ManuallyDrop::new(flows);
            flows.as_mut_ptr()
        }
        Ok(Err(error)) => {
            lent.failed = Some(Stop::Error(error));
            std::ptr::null_mut()
        }
        Err(payload) => {
            lent.failed = Some(Stop::Panic(payload));
            std::ptr::null_mut()
        }
    }
}

/// The interpreter tells where in the module's code it was, line by line, and then what happened, which is
/// what is kept.
fn plainly(error: Error) -> Error {
    const ENDS: [&str; 2] = ["\nRuntimeError: ", "\nbuiltins."];
    let Error::Torch(text) = &error else { return error };
    let end = ENDS.iter().filter_map(|end| text.rfind(end).map(|at| at + end.len())).max();
    Error::Torch(text[end.unwrap_or(0)..].split_whitespace().collect::<Vec<_>>().join(" "))
}
