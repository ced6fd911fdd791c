//! Building, and what is built.

use super::everywhere;
use crate::failure::{At, Failure, Outcome, broken};
use crate::judge::{finite, same_bits};
use crate::place::Place;
use crate::subject::Subject;
use crate::{heard, live::Live};
use kasmina_plugin_api::{Kind, Mode};
use std::collections::BTreeSet;

pub(crate) fn builds(subject: &Subject) -> Outcome {
    if subject.entry.kind() == Kind::Host {
        let host = subject.make(&anywhere())?;
        return variables(&host).map(|()| None);
    }
    everywhere(subject, |place| variables(&subject.make(place)?).map(|()| None))
}

/// A host is built without knowing what it will be given.
fn anywhere() -> Place {
    Place::outside(crate::place::Input::new(&[]))
}

fn variables(live: &Live) -> Result<(), Failure> {
    let mut names = BTreeSet::new();
    for variable in live.variables()? {
        let name = &variable.name;
        if name.is_empty() || name.split('.').any(str::is_empty) {
            return broken(format!("a variable has the name `{name}`, which is not made of names and `.`"));
        }
        finite(&variable.tensor, &format!("a fresh variable, `{name}`,"))?;
        if !names.insert(variable.name.clone()) {
            return broken(format!("two variables are named `{name}`"));
        }
    }
    Ok(())
}

fn sites(subject: &Subject, body: impl FnMut(&Place) -> Outcome) -> Outcome {
    let mut body = body;
    if subject.entry.kind() == Kind::Host { body(&anywhere()) } else { everywhere(subject, body) }
}

pub(crate) fn seeded(subject: &Subject) -> Outcome {
    sites(subject, |place| {
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
            same_bits(&a.tensor, &b.tensor, &format!("variable `{}`, built twice under one seed", a.name))?;
            if a.tensor.numel() > 1 && a.tensor.is_floating_point() {
                let spread = crate::judge::read(&a.tensor.f_max()?.f_sub(&a.tensor.f_min()?)?)?;
                random |= spread != 0.0;
                differs |= !a.tensor.f_equal(&c.tensor)?;
            }
        }
        // What is neither constant nor drawn anew may be a table, such as positions; all of it at once is no
        // draw.
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
            return Ok(Some("it does not say what it costs".to_owned()));
        };
        let parameters = subject.make(place)?.parameters()?;
        let built: usize = parameters.iter().map(|(_, tensor)| tensor.numel()).sum();
        if built as u64 == cost.parameters {
            return Ok(None);
        }
        broken(format!("it says {} parameters, it builds {built}", cost.parameters))
    })
}

pub(crate) fn drops(subject: &Subject) -> Outcome {
    sites(subject, |place| {
        drop(subject.make(place)?);
        quiet("a fresh instance")?;
        if subject.entry.kind() != Kind::Host {
            let mut used = subject.make(place)?;
            // Whatever came of it: now it is dropped.
            let output = used.run(&place.batch(2)?, Mode::Train);
            drop((used, output));
            quiet("a used instance")?;
        }
        Ok(None)
    })
}

fn quiet(what: &str) -> Result<(), Failure> {
    match heard::errors().into_iter().find(|error| error.starts_with("a drop failed")) {
        Some(error) => Err(Failure::Broken(error)).at(what),
        None => Ok(()),
    }
}
