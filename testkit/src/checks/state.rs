//! Checks of state bytes.

use super::everywhere;
use crate::failure::{At, Failure, Outcome, broken};
use crate::instance::Instance;
use crate::judge::check_close;
use crate::subject::Subject;
use kasmina_plugin_api::{ErrorKind, Mode};
use tch::Tensor;

pub(crate) fn round_trip(subject: &Subject) -> Outcome {
    let version = subject.entry.record().state_version;
    everywhere(subject, |place| {
        let mut used = subject.make(place)?;
        for mode in [Mode::Train, Mode::Eval, Mode::Train] {
            drop(used.run(&place.batch(2)?, mode)?);
        }
        let saved = used.state()?;
        if used.state()? != saved {
            return broken("two calls of `state` return different bytes");
        }
        // With another random seed, so that equal outputs can only come from the state and the variables.
        let mut other = subject.make_seeded(place, subject.seed ^ 1)?;
        copy_variables(&used, &other)?;
        if !saved.is_empty() {
            other.restore(&saved, version).at("its own state is refused")?;
        }
        let again = other.state()?;
        if again != saved {
            let (a, b) = (saved.len(), again.len());
            let first = saved.iter().zip(&again).position(|(a, b)| a != b).unwrap_or(a.min(b));
            return broken(format!(
                "saved, restored and saved again, its {a} bytes are {b} others; they differ from byte \
                 {first} on"
            ));
        }
        let x = place.batch(2)?;
        check_close(&used.measure(&x)?, &other.measure(&x)?, "the output of the restored instance differs")?;
        Ok(saved.is_empty().then(|| "it has no state besides its variables".to_owned()))
    })
}

fn copy_variables(from: &Instance, to: &Instance) -> Result<(), Failure> {
    for (from, to) in from.variables()?.iter().zip(to.variables()?) {
        let mut tensor: Tensor = to.tensor;
        tch::no_grad(|| tensor.f_copy_(&from.tensor))?;
    }
    Ok(())
}

pub(crate) fn invalid(subject: &Subject) -> Outcome {
    let version = subject.entry.record().state_version;
    everywhere(subject, |place| {
        let mut instance = subject.make(place)?;
        let saved = instance.state()?;
        let mut cut = saved.clone();
        cut.truncate(saved.len() / 2);
        let flipped: Vec<u8> = saved.iter().map(|byte| !byte).collect();
        let strange: [(&str, &[u8], u32); 7] = [
            ("no bytes", &[], version),
            ("one byte", &[7], version),
            ("invalid bytes", &[0xff; 4096], version),
            ("half of its state", &cut, version),
            ("its state with every bit inverted", &flipped, version),
            ("its state under version 0", &saved, 0),
            ("its state under a future version", &saved, u32::MAX),
        ];
        for (what, bytes, version) in strange {
            let restored = instance.restore(bytes, version);
            let then = instance.measure(&place.batch(2)?).map(drop);
            for (when, answer) in [("restoring", restored), ("forward after restoring", then)] {
                if let Err(error) = answer
                    && matches!(error.kind, ErrorKind::Panic | ErrorKind::Poisoned)
                {
                    return broken(format!("{when} {what}: {error}"));
                }
            }
        }
        Ok(None)
    })
}
