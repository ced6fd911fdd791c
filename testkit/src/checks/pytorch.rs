//! Check of the PyTorch source: the module that it defines computes what the plugin computes.

use super::python;
use crate::failure::{Failure, Outcome, broken};
use crate::instance::{Instance, seed_features};
use crate::place::Place;
use crate::subject::Subject;
use kasmina_plugin_api::Kind;
use kasmina_torch_ext::rng::RngFork;
use serde_json::{Map, Value, json};
use std::path::Path;
use tch::Tensor;

/// Largest accepted difference, relative to the largest output.
const TOLERANCE: f64 = 1e-5;
/// Alpha at which blends are compared.
const ALPHA: f64 = 0.5;
/// Number of samples.
const BATCH: i64 = 3;

/// Compares at every place.
pub(crate) fn same_output(subject: &Subject) -> Outcome {
    let folder = tempfile::tempdir()?;
    let places = subject.places()?;
    for (number, place) in places.iter().enumerate() {
        let Some(source) = subject.entry.pytorch(place.site.as_ref(), &subject.config)? else {
            return Err(Failure::NotApplicable(
                "it has no PyTorch source; networks with it are exported as TorchScript".to_owned(),
            ));
        };
        let job = folder.path().join(number.to_string());
        std::fs::create_dir(&job)?;
        write_job(subject, place, &source, &job)?;
    }
    let answers = python::ask(folder.path())?;
    if answers.len() != places.len() {
        return broken(format!("Python gave {} answers for {} places", answers.len(), places.len()));
    }
    for (place, answer) in places.iter().zip(answers) {
        match (answer.error, answer.difference) {
            (Some(error), _) => return broken(format!("{place}: its PyTorch source fails: {error}")),
            (None, Some(difference)) if difference <= TOLERANCE => {}
            (None, difference) => {
                return broken(format!(
                    "{place}: its PyTorch source differs by {:.1e} of the largest output; at most {TOLERANCE:.0e} is accepted",
                    difference.unwrap_or(f64::NAN)
                ));
            }
        }
    }
    Ok(None)
}

/// Writes the source, and the weights, inputs and output of an instance with random weights.
fn write_job(subject: &Subject, place: &Place, source: &str, folder: &Path) -> Result<(), Failure> {
    let mut instance = subject.make(place)?;
    randomize(&instance, subject.seed)?;
    let x = place.batch(BATCH)?;
    let output = instance.measure(&x)?;
    let mut data = Vec::new();
    let mut weights = Map::new();
    for variable in instance.variables()? {
        weights.insert(variable.name, append(&mut data, &variable.tensor)?);
    }
    let mut inputs = vec![append(&mut data, &x)?];
    if subject.entry.kind() == Kind::Blend {
        inputs.push(append(&mut data, &seed_features(&x)?)?);
    }
    let arguments = place
        .site
        .as_ref()
        .map(|site| json!([site.channels(), site.topology().as_str()]))
        .unwrap_or(json!([]));
    let settings: Value = serde_json::from_str(&subject.config).unwrap_or_else(|_| json!({}));
    let job = json!({
        "kind": subject.entry.kind().as_str(),
        "arguments": arguments,
        "settings": settings,
        "weights": weights,
        "inputs": inputs,
        "alpha": if subject.entry.kind() == Kind::Blend { vec![ALPHA] } else { Vec::new() },
        "output": append(&mut data, &output)?,
    });
    std::fs::write(folder.join("source.py"), source)?;
    std::fs::write(folder.join("job.json"), job.to_string())?;
    std::fs::write(folder.join("tensors.bin"), data)?;
    Ok(())
}

/// Adds random numbers to all variables, so that a fresh seed that changes nothing has an effect. Running
/// variances stay positive.
fn randomize(instance: &Instance, seed: u64) -> Result<(), Failure> {
    let _fork = RngFork::seeded(seed)?;
    let _no_grad = tch::no_grad_guard();
    for mut variable in instance.variables()?.into_iter().filter(|v| v.tensor.is_floating_point()) {
        let noise = variable.tensor.f_rand_like()?.f_mul_scalar(0.5)?;
        let _ = variable.tensor.f_add_(&noise)?;
    }
    Ok(())
}

/// Appends the elements of a tensor, and returns where they are.
fn append(data: &mut Vec<u8>, tensor: &Tensor) -> Result<Value, Failure> {
    let integers = !tensor.is_floating_point();
    let kind = if integers { tch::Kind::Int64 } else { tch::Kind::Float };
    let flat = tensor.f_detach()?.f_to_kind(kind)?.f_contiguous()?.f_flatten(0, -1)?;
    // Numbers of eight bytes must be aligned.
    data.resize(data.len().next_multiple_of(8), 0);
    let offset = data.len();
    data.resize(offset + flat.numel() * kind.elt_size_in_bytes(), 0);
    flat.f_copy_data_u8(&mut data[offset..], flat.numel())?;
    Ok(json!({ "offset": offset, "shape": tensor.size(), "integers": integers }))
}
