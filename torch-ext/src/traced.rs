//! Writing TorchScript: tracing a function as a module whose parameters have names.

use crate::callback::{ActiveTap, Failed, call_tap};
use crate::error::{Error, Result};
use crate::ffi;
use std::ffi::{CString, c_void};
use tch::Tensor;

/// A tensor that a traced function uses.
#[derive(Debug)]
pub struct NamedTensor {
    /// Dotted name that the tensor gets in the module.
    pub name: String,
    /// The tensor. The function must use this tensor, not a copy.
    pub tensor: Tensor,
    /// Whether it is a parameter; otherwise it is a buffer.
    pub parameter: bool,
}

/// A TorchScript module that was made by tracing.
#[derive(Debug)]
pub struct TracedModule {
    raw: *mut c_void,
}

// SAFETY: a module and its graph are reference-counted with atomics and tied to no thread; `TracedModule` is
// not Sync.
unsafe impl Send for TracedModule {}

impl TracedModule {
    /// Traces a function of one tensor, with two inputs of different sizes. The module works for all sizes in
    /// the dimensions in which they differ: numbers of the trace that depend on them become expressions of
    /// the size of the input. Such sizes should be different primes.
    ///
    /// # Shapes
    /// `inputs`: as the function takes them.
    ///
    /// # Errors
    /// If the function fails, or a number depends on the sizes in another way than as a multiple or quotient
    /// of a product, or a product plus a number.
    pub fn trace<E>(
        variables: &[NamedTensor],
        inputs: [&Tensor; 2],
        function: &mut dyn FnMut(Tensor) -> std::result::Result<Tensor, E>,
    ) -> std::result::Result<Self, Failed<E>> {
        let module = Self::new(variables).map_err(Failed::Torch)?;
        let mut tap = |_: usize, x: Tensor| function(x);
        let mut active = ActiveTap::new(&mut tap);
        let context: *mut ActiveTap<'_, E> = &raw mut active;
        let [one, two] = inputs;
        // SAFETY: module and inputs are live; the callback matches `context`, which outlives the call and is
        // not used elsewhere during it.
        let code = unsafe {
            ffi::kte_traced_forward(module.raw, one.as_ptr(), two.as_ptr(), call_tap::<E>, context.cast())
        };
        let traced = ffi::check(code);
        active.finish(traced)?;
        Ok(module)
    }

    pub(crate) fn new(variables: &[NamedTensor]) -> Result<Self> {
        let mut raw = std::ptr::null_mut();
        // SAFETY: the output pointer is valid.
        ffi::check(unsafe { ffi::kte_traced_new(&raw mut raw) })?;
        let module = Self { raw };
        for NamedTensor { name, tensor, parameter } in variables {
            let text = CString::new(name.as_str())
                .map_err(|e| Error::Torch(format!("invalid name of a tensor: {e}")))?;
            // SAFETY: module and tensor are live; the name is NUL-terminated and lives for the call.
            ffi::check(unsafe {
                ffi::kte_traced_add(module.raw, text.as_ptr(), tensor.as_ptr(), *parameter)
            })?;
        }
        Ok(module)
    }

    /// Returns the module as an archive, as `torch.jit.save` writes it.
    ///
    /// # Errors
    /// If libtorch cannot write it.
    pub fn archive(&self) -> Result<Vec<u8>> {
        // SAFETY: the module is live; `write` matches `context`.
        ffi::collect_bytes(|write, context| unsafe { ffi::kte_traced_save(self.raw, write, context) })
    }

    pub(crate) fn raw(&self) -> *mut c_void {
        self.raw
    }
}

impl Drop for TracedModule {
    fn drop(&mut self) {
        // SAFETY: made by `kte_traced_new` and not used again.
        unsafe { ffi::kte_traced_free(self.raw) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::{Failed, Script};
    use tch::{Device, Kind};

    fn loaded(module: &TracedModule) -> Script {
        Script::load(&module.archive().unwrap(), Device::Cpu).unwrap()
    }

    fn run(script: &mut Script, x: &Tensor) -> Tensor {
        script.forward(x, &mut |_, x| Ok::<_, Error>(x)).unwrap()
    }

    #[test]
    fn a_traced_function_works_for_other_sizes_and_keeps_its_names() {
        let weight = Tensor::randn([4, 6], (Kind::Float, Device::Cpu));
        let shift = Tensor::randn([6], (Kind::Float, Device::Cpu));
        let variables = [
            NamedTensor { name: "part.0.weight".to_owned(), tensor: weight.shallow_clone(), parameter: true },
            NamedTensor { name: "part.shift".to_owned(), tensor: shift.shallow_clone(), parameter: false },
        ];
        // The sizes of the input stand in a product, a quotient and a sum.
        let function = |x: &Tensor| {
            let (n, t) = (x.size()[0], x.size()[1]);
            let y = x.view([n * t, 4]).matmul(&weight) + &shift;
            let y = y.view([n, t, 2, 3]).transpose(1, 2).reshape([n * 2, t, 3]);
            let earlier = Tensor::ones([t, t + 1], (Kind::Float, Device::Cpu)).tril(0).narrow(1, 0, t);
            earlier.matmul(&y).view([n, 2, t, 3]).narrow(0, 0, n)
        };
        let input = |n: i64, t: i64| Tensor::randn([n, t, 4], (Kind::Float, Device::Cpu));
        let (one, two) = (input(3, 7), input(5, 11));
        let module =
            TracedModule::trace(&variables, [&one, &two], &mut |x| Ok::<_, Error>(function(&x))).unwrap();
        let mut script = loaded(&module);
        let names: Vec<String> = script.variables().unwrap().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["part.0.weight", "part.shift"]);
        for (n, t) in [(3, 7), (1, 1), (4, 9)] {
            let x = input(n, t);
            assert!(run(&mut script, &x).allclose(&function(&x), 1e-6, 1e-6, false), "{n} {t}");
        }
    }

    #[test]
    fn a_number_that_depends_on_the_sizes_in_another_way_is_refused() {
        let input = |n: i64| Tensor::ones([n, 2], (Kind::Float, Device::Cpu));
        let refused = |function: &dyn Fn(&Tensor) -> Tensor| {
            let traced =
                TracedModule::trace(&[], [&input(3), &input(5)], &mut |x| Ok::<_, Error>(function(&x)));
            match traced {
                Err(Failed::Torch(error)) => error.to_string(),
                other => format!("{other:?}"),
            }
        };
        assert!(refused(&|x| x / (x.size()[0] as f64).sqrt()).contains("for an input of other sizes"));
        assert!(refused(&|x| x.repeat([x.size()[0] * x.size()[0], 1])).contains("the number 9 is 25"));
        assert!(refused(&|x| if x.size()[0] > 4 { x.relu() } else { x.tanh() }).contains("other operations"));
    }

    #[test]
    fn the_error_of_the_function_is_returned() {
        let x = Tensor::ones([2], (Kind::Float, Device::Cpu));
        let traced = TracedModule::trace(&[], [&x, &x], &mut |_| Err("mine"));
        assert!(matches!(traced, Err(Failed::Tap("mine"))));
    }
}
