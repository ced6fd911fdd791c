//! Checks with several instances and several threads.

use super::everywhere;
use crate::failure::{At, Failure, Outcome, broken};
use crate::instance::Instance;
use crate::judge::{check_close, check_same_bits, random_projection};
use crate::subject::Subject;
use kasmina_plugin_api::Mode;
use kasmina_torch_ext::rng::RngFork;
use tch::Tensor;

pub(crate) fn independent(subject: &Subject) -> Outcome {
    everywhere(subject, |place| {
        let mut observed = subject.make(place)?;
        let x = place.batch(3)?;
        let (output, variables, state) =
            (measure_seeded(subject, &mut observed, &x)?, copies(&observed)?, observed.state()?);

        // A second instance is trained on other data and changed; a third is built and dropped.
        let mut trained = subject.make_seeded(place, subject.seed ^ 2)?;
        for _ in 0..3 {
            let y = place.batch(5)?;
            let output = trained.run(&y, Mode::Train)?;
            if output.requires_grad() {
                random_projection(&output)?.f_backward()?;
            }
            for (_, tensor) in trained.parameters()? {
                drop(tch::no_grad(|| tensor.shallow_clone().f_add_scalar_(0.37))?);
            }
        }
        drop(trained.measure(&place.batch(2)?)?);
        drop(subject.make(place)?);

        for ((name, was), (_, is)) in variables.iter().zip(&copies(&observed)?) {
            check_same_bits(
                was,
                is,
                &format!("another instance was trained, and variable `{name}` of this one changed"),
            )?;
        }
        if observed.state()? != state {
            return broken("another instance was trained, and the state of this one changed");
        }
        let again = measure_seeded(subject, &mut observed, &x)?;
        check_same_bits(&output, &again, "another instance was trained, and the output of this one changed")?;
        Ok(None)
    })
}

/// Runs a forward in eval mode with fixed random numbers.
fn measure_seeded(subject: &Subject, instance: &mut Instance, x: &Tensor) -> Result<Tensor, Failure> {
    let _fork = RngFork::seeded(subject.seed)?;
    Ok(instance.measure(x)?)
}

fn copies(instance: &Instance) -> Result<Vec<(String, Tensor)>, Failure> {
    instance.variables()?.into_iter().map(|v| Ok((v.name, v.tensor.f_detach_copy()?))).collect()
}

pub(crate) fn other_thread(subject: &Subject) -> Outcome {
    everywhere(subject, |place| {
        let mut instance = subject.make(place)?;
        let x = place.batch(2)?;
        let here = instance.measure(&x)?;
        // Without random numbers, because this thread holds the lock of the generators.
        let (there, mut instance) =
            measure_on_new_thread(&x, instance).at("on another thread than the one that built it")?;
        check_close(&here, &there, "on another thread its output differs")?;
        check_close(&here, &instance.measure(&x)?, "back on its first thread its output differs")?;
        let (answer, _) = measure_on_new_thread(&x, subject.make(place)?)
            .at("a fresh instance, first used on another thread")?;
        check_close(&here, &answer, "first used on another thread, its output differs")?;
        Ok(None)
    })
}

/// Runs a forward in eval mode on a new thread. Returns the output and the instance.
fn measure_on_new_thread(x: &Tensor, mut instance: Instance) -> Result<(Tensor, Instance), Failure> {
    let x = x.shallow_clone();
    let thread = std::thread::Builder::new().spawn(move || {
        let answer = instance.measure(&x);
        (answer, instance)
    })?;
    let Ok((answer, instance)) = thread.join() else {
        return broken("a panic was not caught by the guard of the instance");
    };
    Ok((answer?, instance))
}
