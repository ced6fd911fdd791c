//! The bodies of the checks, by subject.

pub(crate) mod blend;
pub(crate) mod build;
pub(crate) mod cached;
pub(crate) mod config;
pub(crate) mod forward;
pub(crate) mod gradients;
pub(crate) mod host;
pub(crate) mod inputs;
pub(crate) mod instances;
pub(crate) mod memory;
pub(crate) mod process;
mod python;
pub(crate) mod pytorch;
pub(crate) mod random;
pub(crate) mod samples;
pub(crate) mod state;

use crate::failure::{Failure, Outcome};
use crate::place::Place;
use crate::subject::Subject;

/// Runs a check at every place of an entry and joins the remarks.
fn everywhere(subject: &Subject, mut body: impl FnMut(&Place) -> Outcome) -> Outcome {
    let mut remarks = Vec::new();
    for place in subject.places()? {
        let remark = body(&place).map_err(|failure| match failure {
            Failure::Broken(text) if !text.starts_with(&place.to_string()) => {
                Failure::Broken(format!("{place}: {text}"))
            }
            other => other,
        })?;
        remarks.extend(remark.filter(|remark| !remarks.contains(remark)));
    }
    Ok(if remarks.is_empty() { None } else { Some(remarks.join("; ")) })
}
