//! Checks of shape, dtype and values of outputs.

use super::everywhere;
use crate::failure::{At, Failure, Outcome, broken};
use crate::instance::Instance;
use crate::judge::{check_close, check_finite, check_like, random_projection};
use crate::place::Place;
use crate::subject::{CHANNELS, Subject};
use kasmina_plugin_api::{Kind, Layout, Mode, Topology};
use kasmina_torch_ext::autograd::is_channels_last;
use tch::Tensor;

const BATCHES: [i64; 3] = [2, 1, 64];

pub(crate) fn forward(subject: &Subject) -> Outcome {
    if subject.entry.kind() == Kind::Host {
        return check_host(subject);
    }
    let mut remarks = Vec::new();
    for topology in subject.topologies()? {
        let mut served = 0;
        let mut refusals = Vec::new();
        for place in places(topology) {
            if let Some(why) = subject.refusal(&place)? {
                refusals.push(format!("{place}: {why}"));
                continue;
            }
            served += 1;
            for batch in BATCHES {
                let repacked = check_site(subject, &place, batch).at(format!("{place}, batch {batch}"))?;
                remarks.extend(repacked.filter(|remark| !remarks.contains(remark)));
            }
        }
        if served == 0 {
            return broken(format!("it serves {topology}, but refuses every site: {}", refusals.join("; ")));
        }
    }
    Ok(if remarks.is_empty() { None } else { Some(remarks.join("; ")) })
}

/// Returns the sites of a topology to check: all channel counts, and channels-last features for CNNs.
fn places(topology: Topology) -> impl Iterator<Item = Place> {
    let last = (topology == Topology::CNN).then(|| [16, 8].map(|c| Place::of(topology, c).channels_last()));
    CHANNELS.into_iter().map(move |channels| Place::of(topology, channels)).chain(last.into_iter().flatten())
}

/// Runs a training forward with an input without and one with gradients, as isolated and connected seeds get,
/// and then a forward in eval mode.
fn check_site(subject: &Subject, place: &Place, batch: i64) -> Outcome {
    let mut instance = subject.make(place)?;
    for isolated in [true, false] {
        let x = place.batch(batch)?.f_set_requires_grad(!isolated)?;
        let output = instance.run(&x, Mode::Train)?;
        check_output(&x, &output, "in training the output")?;
        if output.requires_grad() {
            random_projection(&output)?.f_backward()?;
        }
    }
    let x = place.batch(batch)?;
    let output = instance.measure(&x)?;
    check_output(&x, &output, "in eval mode the output")?;
    let repacked = place.input.layout == Layout::ChannelsLast && !is_channels_last(&output)?;
    Ok(repacked
        .then(|| "its output for channels-last features is not channels-last, which costs a copy".to_owned()))
}

fn check_output(x: &Tensor, output: &Tensor, what: &str) -> Result<(), Failure> {
    check_like(x, output, what)?;
    check_finite(output, what)
}

fn check_host(subject: &Subject) -> Outcome {
    everywhere(subject, |place| {
        let mut instance = subject.make(place)?;
        let mut shape: Option<Vec<i64>> = None;
        for batch in BATCHES {
            let x = place.batch(batch)?;
            for mode in [Mode::Train, Mode::Eval] {
                let output =
                    check_host_forward(&mut instance, &x, mode).at(format!("batch {batch}, {mode:?}"))?;
                let sample = output.size()[1..].to_vec();
                if shape.get_or_insert_with(|| sample.clone()) != &sample {
                    return broken(format!(
                        "batch {batch}: the output per sample is {sample:?}, before {shape:?}"
                    ));
                }
            }
        }
        Ok(Some(format!("tried with {place}")))
    })
}

fn check_host_forward(instance: &mut Instance, x: &Tensor, mode: Mode) -> Result<Tensor, Failure> {
    let outputs = instance.outputs(x, mode)?;
    for (what, tensor) in outputs.all() {
        if tensor.size().first() != x.size().first() {
            let (shape, batch) = (tensor.size(), x.size()[0]);
            return broken(format!("{what} have shape {shape:?}; dimension 0 is the batch, here {batch}"));
        }
        check_finite(tensor, &what)?;
    }
    if outputs.output.dim() < 2 {
        return broken(format!("the output has shape {:?}, expected logits [N, ...]", outputs.output.size()));
    }
    Ok(outputs.output)
}

pub(crate) fn identity(subject: &Subject) -> Outcome {
    everywhere(subject, |place| {
        let x = place.batch(2)?;
        for mode in [Mode::Train, Mode::Eval] {
            let output = subject.make(place)?.run(&x, mode)?;
            check_close(&x, &output, &format!("its first output ({mode:?}) is not its input"))?;
        }
        Ok(None)
    })
}
