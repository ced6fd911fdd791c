//! A quick subset of the checks, for entries that are about to be loaded.

use crate::failure::{At, Failure, broken};
use crate::judge::{check_finite, check_like, random_projection};
use crate::place::{KNOWN, Place};
use crate::subject::Subject;
use kasmina_plugin_api::guard::guard;
use kasmina_plugin_api::{Kind, Mode, Topology};
use kasmina_registry::Entry;
use kasmina_torch_ext::autograd;
use kasmina_torch_ext::rng::RngFork;

const SEED: u64 = 0x6b61_736d_696e_6102;

/// Checks an entry quickly: builds it with its default configuration on a small site of each topology that it
/// serves, runs forward and backward in training mode and forward in eval mode, and checks that outputs have
/// the right shape and dtype and are finite.
///
/// An entry without declared topologies must pass for only one of the known topologies. A site that the entry
/// refuses as unsupported is skipped. The check runs in this process; call it in a child process if the entry
/// may crash. The state of torch's random number generators is restored afterwards.
///
/// # Errors
/// A description of the first failure and where it occurred.
pub fn smoke(entry: &Entry) -> Result<(), String> {
    let guarded = guard(|| Ok(RngFork::seeded(SEED).map(|_fork| smoke_all(entry))));
    match guarded.result {
        Ok(Ok(Ok(()) | Err(Failure::NotApplicable(_)))) => Ok(()),
        Ok(Ok(Err(Failure::Broken(text)))) => Err(text),
        Ok(Err(error)) => Err(error.to_string()),
        Err(error) => Err(error.to_string()),
    }
}

fn smoke_all(entry: &Entry) -> Result<(), Failure> {
    let subject = Subject::new(entry.clone(), SEED, String::new());
    if entry.kind() == Kind::Blend {
        crate::checks::blend::curve(&subject)?;
    }
    if entry.kind() == Kind::Host {
        return subject.places()?.iter().try_for_each(|place| smoke_one(&subject, place));
    }
    let mut answers = Vec::new();
    for topology in subject.topologies()? {
        let channels = if topology == Topology::TRANSFORMER { 16 } else { 8 };
        let place = Place::of(topology, channels);
        if subject.refusal(&place)?.is_none() {
            answers.push(smoke_one(&subject, &place).at(&place));
        }
    }
    let all = entry.record().topologies.is_empty() && KNOWN.len() > 1;
    if all && answers.iter().any(Result::is_ok) { Ok(()) } else { answers.into_iter().collect() }
}

fn smoke_one(subject: &Subject, place: &Place) -> Result<(), Failure> {
    let mut instance = subject.make(place)?;
    let x = place.batch(2)?;
    for mode in [Mode::Train, Mode::Eval] {
        let written = autograd::version(&x)?;
        let output = if mode.is_train() { instance.run(&x, mode)? } else { instance.measure(&x)? };
        if autograd::version(&x)? != written {
            return broken("it writes to its input in place");
        }
        let what = if mode.is_train() { "in training the output" } else { "in eval mode the output" };
        if place.site.is_some() {
            check_like(&x, &output, what)?;
        } else if output.size().first() != Some(&2) {
            return broken(format!("{what} of a batch of 2 has shape {:?}", output.size()));
        }
        check_finite(&output, what)?;
        if mode.is_train() && output.requires_grad() {
            random_projection(&output)?.f_backward()?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::entries;
    use kasmina_torch_ext::rng::{RngState, lock};

    fn fixture(name: &str) -> Vec<Entry> {
        let exe = std::env::current_exe().unwrap();
        let file = exe.ancestors().nth(2).unwrap().join(format!("examples/libchecked_{name}.so"));
        let sha256 = kasmina_registry::hash_of(&file).unwrap();
        entries(&kasmina_registry::Judged { path: file, sha256 }, &[]).unwrap()
    }

    #[test]
    fn generators_are_restored_after_a_pass_and_after_a_failure() {
        // Other tests of this process use the generators too.
        let _alone = lock();
        for (name, good) in [("good", true), ("seeds", false)] {
            let before = RngState::save().unwrap();
            let answers: Vec<_> = fixture(name).iter().map(smoke).collect();
            assert_eq!(answers.iter().all(Result::is_ok), good, "{answers:?}");
            assert!(before.same_as(&RngState::save().unwrap()));
        }
    }

    #[test]
    fn an_error_describes_the_fault() {
        let entries = fixture("seeds");
        let answer = |id: &str| smoke(entries.iter().find(|entry| entry.id() == id).unwrap());
        let wrong = answer("wrong_shape").unwrap_err();
        assert!(wrong.contains("in training the output has shape [2, 8, 6, 5]"), "{wrong}");
        assert!(answer("panics_in_build").unwrap_err().contains("told to panic"));
        assert_eq!(answer("refuses_all"), Ok(()));
        assert_eq!(answer("slow"), Ok(()));
    }
}
