//! Checks of building and dropping instances.

use super::everywhere;
use crate::failure::{At, Failure, Outcome, broken};
use crate::judge::{check_finite, check_same_bits};
use crate::place::Place;
use crate::subject::Subject;
use crate::{error_log, instance::Instance};
use kasmina_plugin_api::{Kind, Mode};
use std::collections::BTreeSet;

pub(crate) fn build(subject: &Subject) -> Outcome {
    if subject.entry.kind() == Kind::Host {
        let host = subject.make(&host_place())?;
        return check_variables(&host).map(|()| None);
    }
    everywhere(subject, |place| check_variables(&subject.make(place)?).map(|()| None))
}

/// Returns a place for building a host, which does not depend on the input.
fn host_place() -> Place {
    Place::for_host(crate::place::Input::new(&[]))
}

/// Fails if a variable has an invalid name, a name of another variable, or values that are not finite.
fn check_variables(instance: &Instance) -> Result<(), Failure> {
    let mut names = BTreeSet::new();
    for variable in instance.variables()? {
        let name = &variable.name;
        if name.is_empty() || name.split('.').any(str::is_empty) {
            return broken(format!("a variable has the name `{name}`, which is not made of names and `.`"));
        }
        check_finite(&variable.tensor, &format!("a fresh variable, `{name}`,"))?;
        if !names.insert(variable.name.clone()) {
            return broken(format!("two variables are named `{name}`"));
        }
    }
    Ok(())
}

/// Runs a check at every site of a seed or blend, or once for a host.
fn each_site(subject: &Subject, body: impl FnMut(&Place) -> Outcome) -> Outcome {
    let mut body = body;
    if subject.entry.kind() == Kind::Host { body(&host_place()) } else { everywhere(subject, body) }
}

pub(crate) fn seeded(subject: &Subject) -> Outcome {
    each_site(subject, |place| {
        let (first, again) = (subject.make(place)?.variables()?, subject.make(place)?.variables()?);
        let other = subject.make_seeded(place, subject.seed ^ 0x5eed)?.variables()?;
        if first.len() != again.len() || first.len() != other.len() {
            return broken("two builds have different numbers of variables");
        }
        let (mut random, mut differs) = (false, false);
        for ((a, b), c) in first.iter().zip(&again).zip(&other) {
            if a.name != b.name || a.name != c.name {
                return broken(format!(
                    "two builds name their variables differently: `{}`, `{}`",
                    a.name, b.name
                ));
            }
            check_same_bits(
                &a.tensor,
                &b.tensor,
                &format!("variable `{}`, built twice under one seed", a.name),
            )?;
            if a.tensor.numel() > 1 && a.tensor.is_floating_point() {
                let spread = crate::judge::value_of(&a.tensor.f_max()?.f_sub(&a.tensor.f_min()?)?)?;
                random |= spread != 0.0;
                differs |= !a.tensor.f_equal(&c.tensor)?;
            }
        }
        // A single variable that is the same for all seeds may be a table, for example of positions. It is a
        // remark only if that holds for all variables.
        if random && !differs {
            return Ok(Some("its variables are the same under every seed".to_owned()));
        }
        Ok(None)
    })
}

pub(crate) fn cost(subject: &Subject) -> Outcome {
    everywhere(subject, |place| {
        let Some(site) = &place.site else { return Ok(None) };
        let Some(cost) = subject.entry.cost(site, &subject.config)? else {
            return Ok(Some("it does not declare its cost".to_owned()));
        };
        let parameters = subject.make(place)?.parameters()?;
        let built: usize = parameters.iter().map(|(_, tensor)| tensor.numel()).sum();
        if built as u64 == cost.parameters {
            return Ok(None);
        }
        broken(format!("it declares {} parameters, but builds {built}", cost.parameters))
    })
}

pub(crate) fn drop_instances(subject: &Subject) -> Outcome {
    each_site(subject, |place| {
        drop(subject.make(place)?);
        check_no_drop_error("a fresh instance")?;
        if subject.entry.kind() != Kind::Host {
            let mut used = subject.make(place)?;
            // Only the drop matters here, so an error of the forward is ignored.
            let output = used.run(&place.batch(2)?, Mode::Train);
            drop((used, output));
            check_no_drop_error("a used instance")?;
        }
        Ok(None)
    })
}

/// Fails if a drop logged an error.
fn check_no_drop_error(what: &str) -> Result<(), Failure> {
    match error_log::take().into_iter().find(|error| error.starts_with("a drop failed")) {
        Some(error) => Err(Failure::Broken(error)).at(what),
        None => Ok(()),
    }
}
