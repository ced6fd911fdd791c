//! TorchScript modules, with taps after the calls of their submodules.

use crate::archive;
pub use crate::callback::Failed;
use crate::callback::{ActiveTap, call_tap, without_source_trace};
use crate::error::{Error, Result};
use crate::ffi;
use crate::traced::TracedModule;
use std::ffi::{CStr, CString, c_char, c_void};
use tch::{Device, Tensor};
use torch_sys::C_tensor;

/// A scripted or traced module, written by `torch.jit.save`, that takes one tensor and returns one.
///
/// The module is interpreted operation by operation. Nothing is profiled, fused or compiled, so results equal
/// those of the same operations called one by one, with the usual gradients, autocast and random numbers. Two
/// modules loaded from one file share no tensors.
#[derive(Debug)]
pub struct Script {
    raw: *mut c_void,
}

// SAFETY: a module and its graph are reference-counted with atomics and tied to no thread; `Script` is not
// Sync, and everything that changes it takes `&mut self`.
unsafe impl Send for Script {}

/// A submodule that the module's forward calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Dotted path of the submodule from the root.
    pub path: String,
    /// Whether a tap can be inserted after the call.
    pub fit: Fit,
}

/// Whether a tap can be inserted after a call, and if not, why.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fit {
    /// A tap can be inserted.
    Fits,
    /// The submodule is called this many times.
    Repeated(i64),
    /// The call is inside an `if` or a loop, so the number of calls is not known.
    Conditional,
    /// The call does not return one tensor; contains the returned type in TorchScript's notation.
    Returns(String),
}

impl Script {
    /// Loads an archive onto a device. None of its code runs: an archive with code that would run at load
    /// time is refused first, and operators that do more than compute are refused by name.
    ///
    /// # Errors
    /// If the bytes are not an archive of a module, if the module uses forbidden operators or names, is too
    /// large or too deeply nested, or if its `forward` does not take and return one tensor.
    pub fn load(bytes: &[u8], device: Device) -> Result<Self> {
        archive::check(bytes).map_err(|found| {
            Error::Torch(format!("it is not a module written by torch.jit.save: {found}"))
        })?;
        let cuda = match device {
            Device::Cuda(index) => index as i64,
            _ => -1,
        };
        let mut raw = std::ptr::null_mut();
        let mut names: Vec<String> = Vec::new();
        let context: *mut Vec<String> = &raw mut names;
        // SAFETY: the bytes are live for the call, which keeps none of them; the callback matches the
        // declaration, its context outlives the call, and the output pointer is valid.
        let code = with_deep_stack(|| unsafe {
            ffi::kte_script_load(
                bytes.as_ptr().cast(),
                bytes.len(),
                cuda,
                collect_forbidden,
                context.cast(),
                &raw mut raw,
            )
        });
        ffi::check(code).map_err(without_source_trace)?;
        if raw.is_null() {
            return Err(Error::Forbidden { names });
        }
        Ok(Self { raw })
    }

    /// Returns the submodules that forward calls, nested ones included, in the order in which the calls
    /// return, which is the order in which taps after them run.
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
            // SAFETY: `context` is the list passed below, borrowed for the call; both strings are
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

    /// Returns handles on the module's parameters and buffers by dotted name. A tensor with several names
    /// (tied weights) is listed once, under its first name.
    ///
    /// # Shapes
    /// The module's.
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

    /// Inserts tap `i` after the call of the submodule `paths[i]`, for every `i`. Taps inserted before are
    /// removed.
    ///
    /// # Errors
    /// If a tap cannot be inserted after one of the calls (see [`Script::calls`]); then nothing has changed.
    pub fn attach<P: AsRef<str>>(&mut self, paths: &[P]) -> Result<()> {
        let paths =
            paths.iter().map(|path| CString::new(path.as_ref())).collect::<std::result::Result<Vec<_>, _>>();
        let paths = paths.map_err(|e| Error::Torch(format!("invalid path of a submodule: {e}")))?;
        let pointers: Vec<*const c_char> = paths.iter().map(|path| path.as_ptr()).collect();
        // SAFETY: the module is live and not in use elsewhere; the strings are NUL-terminated and live for
        // the call.
        let attach = || unsafe { ffi::kte_script_attach(self.raw, pointers.as_ptr(), pointers.len()) };
        ffi::check(with_deep_stack(attach)).map_err(without_source_trace)
    }

    /// Switches the module and all its submodules to training mode (`on`) or evaluation mode.
    ///
    /// # Errors
    /// If libtorch refuses.
    pub fn train(&mut self, on: bool) -> Result<()> {
        // SAFETY: the module is live and not in use elsewhere.
        ffi::check(unsafe { ffi::kte_script_train(self.raw, on) })
    }

    /// Returns the module's output. After the call of a submodule that has a tap, `tap` is called with the
    /// index of the tap and the submodule's output, and its result replaces that output.
    ///
    /// # Shapes
    /// `x` and output: those that the module takes and returns.
    ///
    /// # Errors
    /// The error of the tap, or that of the module or libtorch.
    ///
    /// # Panics
    /// If the tap panics.
    pub fn forward<E>(
        &mut self,
        x: &Tensor,
        tap: &mut dyn FnMut(usize, Tensor) -> std::result::Result<Tensor, E>,
    ) -> std::result::Result<Tensor, Failed<E>> {
        let mut active = ActiveTap::new(tap);
        let context: *mut ActiveTap<'_, E> = &raw mut active;
        let output = ffi::new_tensor(|out| {
            // SAFETY: the module is live and not in use elsewhere, the input is live; the callback matches
            // `context`, which outlives the call and is not used elsewhere during it.
            unsafe { ffi::kte_script_forward(self.raw, x.as_ptr(), call_tap::<E>, context.cast(), out) }
        });
        active.finish(output)
    }
}

impl Script {
    /// Writes the module as an archive, in evaluation mode, with modules behind the calls of the submodules
    /// `paths`. They become submodules with these names.
    ///
    /// # Errors
    /// If a path is none at which a tap fits, a name is taken, or libtorch cannot write the module.
    pub fn into_archive_with(self, seeds: &[SeedModule<'_>]) -> Result<Vec<u8>> {
        let strings = |texts: Vec<&str>| {
            let texts = texts.into_iter().map(CString::new).collect::<std::result::Result<Vec<_>, _>>();
            texts.map_err(|e| Error::Torch(format!("invalid name of a submodule: {e}")))
        };
        let paths = strings(seeds.iter().map(|seed| seed.path).collect())?;
        let names = strings(seeds.iter().map(|seed| seed.name).collect())?;
        let pointers = |texts: &[CString]| texts.iter().map(|text| text.as_ptr()).collect::<Vec<_>>();
        let (path_pointers, name_pointers) = (pointers(&paths), pointers(&names));
        let modules: Vec<*mut c_void> = seeds.iter().map(|seed| seed.module.raw()).collect();
        ffi::collect_bytes(|write, context| {
            // SAFETY: the module is live, owned and not used afterwards; all strings are NUL-terminated and
            // they and the modules live for the call; `write` matches `context`.
            with_deep_stack(|| unsafe {
                ffi::kte_script_save_with(
                    self.raw,
                    path_pointers.as_ptr(),
                    name_pointers.as_ptr(),
                    modules.as_ptr(),
                    modules.len(),
                    write,
                    context,
                )
            })
        })
        .map_err(without_source_trace)
    }
}

/// A module to be put behind the call of a submodule.
#[derive(Debug, Clone, Copy)]
pub struct SeedModule<'a> {
    /// Dotted path of the submodule.
    pub path: &'a str,
    /// Name that the module gets.
    pub name: &'a str,
    /// The module.
    pub module: &'a TracedModule,
}

/// Runs a function that recurses over the parts of a module, on a stack that is large enough for the largest
/// allowed module. Its pages take memory only when they are used.
fn with_deep_stack<T>(body: impl FnOnce() -> T) -> T {
    const STACK: usize = 256 << 20;
    stacker::grow(STACK, body)
}

extern "C" fn collect_forbidden(context: *mut c_void, name: *const c_char) {
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
