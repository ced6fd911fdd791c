//! The guard that every call into author code runs behind.

use crate::abi::take_torch_error;
use crate::{ErrorKind, PluginError, Result};
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// How a guarded call ended.
#[derive(Debug)]
pub struct Guarded<T> {
    /// Its value or its error.
    pub result: Result<T>,
    /// Whether author code panicked here for a reason other than torch's: the instance is in an unknown
    /// state.
    pub poisons: bool,
}

/// Runs `body` so that no unwinding leaves and no torch error stays pending.
///
/// tch reports a failed call inside `conv.forward(x)` by panicking; such a panic is told apart from the
/// author's own, becomes [`ErrorKind::Torch`] or [`ErrorKind::OutOfMemory`] and poisons nothing.
#[inline]
pub fn guard<T>(body: impl FnOnce() -> Result<T>) -> Guarded<T> {
    let caught = catch_unwind(AssertUnwindSafe(body));
    let pending = take_torch_error();
    if pending.is_none()
        && let Ok(Ok(value)) = caught
    {
        return Guarded { result: Ok(value), poisons: false };
    }
    explain(caught, pending)
}

/// What became of a call that did not just succeed.
#[cold]
fn explain<T>(caught: std::thread::Result<Result<T>>, pending: Option<String>) -> Guarded<T> {
    match caught {
        Ok(Ok(value)) => match pending {
            None => Guarded { result: Ok(value), poisons: false },
            Some(text) => {
                // The value may own tensors whose drop would trip over nothing now: the error is taken away.
                drop(value);
                Guarded { result: Err(PluginError::torch(&text)), poisons: false }
            }
        },
        Ok(Err(error)) => Guarded { result: Err(error), poisons: false },
        Err(payload) => {
            let error = from_panic(payload.as_ref());
            // A payload may panic in its own drop.
            let _ = catch_unwind(AssertUnwindSafe(|| drop(payload)));
            let poisons = error.kind == ErrorKind::Panic;
            Guarded { result: Err(error), poisons }
        }
    }
}

fn from_panic(payload: &(dyn Any + Send)) -> PluginError {
    let text = payload
        .downcast_ref::<&str>()
        .map(|s| (*s).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without a text".to_owned());
    match torch_unwrap(&text) {
        Some(torch) => PluginError::torch(&torch),
        None => PluginError::new(ErrorKind::Panic, text),
    }
}

/// The text inside ``called `Result::unwrap()` on an `Err` value: Torch("..")``, which is how tch panics.
fn torch_unwrap(text: &str) -> Option<String> {
    let (_, rest) = text.split_once("on an `Err` value: Torch(\"")?;
    let body = rest.strip_suffix("\")").unwrap_or(rest);
    Some(body.replace("\\n", "\n").replace("\\\"", "\""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind, Tensor};

    #[test]
    fn a_panic_is_an_error_and_poisons() {
        let guarded = guard::<()>(|| panic!("author's bug {}", 7));
        assert!(guarded.poisons);
        assert_eq!(guarded.result.unwrap_err(), PluginError::new(ErrorKind::Panic, "author's bug 7"));
    }

    #[test]
    fn a_torch_panic_is_a_torch_error_and_poisons_nothing() {
        let guarded = guard(|| {
            let a = Tensor::zeros([2, 3], (Kind::Float, Device::Cpu));
            Ok(a.matmul(&a))
        });
        assert!(!guarded.poisons);
        let error = guarded.result.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Torch);
        assert!(error.message.contains("shapes cannot be multiplied"), "{}", error.message);
        assert!(!error.message.contains("Exception raised from"), "{}", error.message);
    }

    #[test]
    fn a_payload_that_panics_in_drop_stays_inside() {
        struct Bomb;
        impl Drop for Bomb {
            fn drop(&mut self) {
                assert!(std::thread::panicking(), "and again");
            }
        }
        let guarded = guard::<()>(|| std::panic::panic_any(Bomb));
        assert!(guarded.poisons && guarded.result.is_err());
    }
}
