//! The guard around every call of a plugin's code.

use crate::abi::take_torch_error;
use crate::{ErrorKind, PluginError, Result};
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Result of a guarded call.
#[derive(Debug)]
pub struct Guarded<T> {
    /// Value or error of the call.
    pub result: Result<T>,
    /// Whether the call panicked for another reason than a failed torch call. The instance is then in an
    /// unknown state.
    pub poisons: bool,
}

/// Runs `body`, turns a panic into an error, and clears torch's pending error.
///
/// tch reports a failed call inside `conv.forward(x)` by a panic. Such a panic is distinguished from those of
/// the author's code: it becomes [`ErrorKind::Torch`] or [`ErrorKind::OutOfMemory`] and does not poison.
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

/// Returns the result of a call that panicked, failed or left a torch error pending.
#[cold]
fn explain<T>(caught: std::thread::Result<Result<T>>, pending: Option<String>) -> Guarded<T> {
    match caught {
        Ok(Ok(value)) => match pending {
            None => Guarded { result: Ok(value), poisons: false },
            Some(text) => {
                // The value may own tensors. Their drop sees no pending error, because it was cleared above.
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
        .unwrap_or_else(|| "a panic without a message".to_owned());
    match torch_unwrap(&text) {
        Some(torch) => PluginError::torch(&torch),
        None => PluginError::new(ErrorKind::Panic, text),
    }
}

/// Returns the text inside ``called `Result::unwrap()` on an `Err` value: Torch("...")``, the message of a
/// panic of tch; `None` for other panics.
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
    fn a_torch_panic_is_a_torch_error_and_does_not_poison() {
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
    fn a_payload_that_panics_in_drop_is_contained() {
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
