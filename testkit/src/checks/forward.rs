//! Shapes, dtypes and values of what comes out.

use super::everywhere;
use crate::failure::{At, Failure, Outcome, broken};
use crate::judge::{close, finite, leaning, like};
use crate::live::Live;
use crate::place::Place;
use crate::subject::{CHANNELS, Subject};
use kasmina_plugin_api::{Kind, Layout, Mode, Topology};
use kasmina_torch_ext::autograd::is_channels_last;
use tch::Tensor;

const BATCHES: [i64; 3] = [2, 1, 64];

pub(crate) fn forward(subject: &Subject) -> Outcome {
    if subject.entry.kind() == Kind::Host {
        return host(subject);
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
                let repacked = once(subject, &place, batch).at(format!("{place}, batch {batch}"))?;
                remarks.extend(repacked.filter(|remark| !remarks.contains(remark)));
            }
        }
        if served == 0 {
            return broken(format!("it serves {topology}, but refuses every site: {}", refusals.join("; ")));
        }
    }
    Ok(if remarks.is_empty() { None } else { Some(remarks.join("; ")) })
}

fn places(topology: Topology) -> impl Iterator<Item = Place> {
    let last = (topology == Topology::CNN).then(|| [16, 8].map(|c| Place::of(topology, c).channels_last()));
    CHANNELS.into_iter().map(move |channels| Place::of(topology, channels)).chain(last.into_iter().flatten())
}

/// Train with an input that is isolated from its host and with one that is not, then eval.
fn once(subject: &Subject, place: &Place, batch: i64) -> Outcome {
    let mut live = subject.make(place)?;
    for isolated in [true, false] {
        let x = place.batch(batch)?.f_set_requires_grad(!isolated)?;
        let output = live.run(&x, Mode::Train)?;
        judge(&x, &output, "in training the output")?;
        if output.requires_grad() {
            leaning(&output)?.f_backward()?;
        }
    }
    let x = place.batch(batch)?;
    let output = live.measure(&x)?;
    judge(&x, &output, "in eval mode the output")?;
    let repacked = place.input.layout == Layout::ChannelsLast && !is_channels_last(&output)?;
    Ok(repacked
        .then(|| "out of channels-last features it makes others, which costs a copy in each step".to_owned()))
}

fn judge(x: &Tensor, output: &Tensor, what: &str) -> Result<(), Failure> {
    like(x, output, what)?;
    finite(output, what)
}

fn host(subject: &Subject) -> Outcome {
    everywhere(subject, |place| {
        let mut live = subject.make(place)?;
        let mut shape: Option<Vec<i64>> = None;
        for batch in BATCHES {
            let x = place.batch(batch)?;
            for mode in [Mode::Train, Mode::Eval] {
                let output = one_host(&mut live, &x, mode).at(format!("batch {batch}, {mode:?}"))?;
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

fn one_host(live: &mut Live, x: &Tensor, mode: Mode) -> Result<Tensor, Failure> {
    let shown = live.show(x, mode)?;
    for (what, tensor) in shown.all() {
        if tensor.size().first() != x.size().first() {
            let (shape, batch) = (tensor.size(), x.size()[0]);
            return broken(format!("{what} have shape {shape:?}; dimension 0 is the batch, here {batch}"));
        }
        finite(tensor, &what)?;
    }
    if shown.output.dim() < 2 {
        return broken(format!("the output has shape {:?}, expected logits [N, ..]", shown.output.size()));
    }
    Ok(shown.output)
}

pub(crate) fn identity(subject: &Subject) -> Outcome {
    everywhere(subject, |place| {
        let x = place.batch(2)?;
        for mode in [Mode::Train, Mode::Eval] {
            let output = subject.make(place)?.run(&x, mode)?;
            close(&x, &output, &format!("its first output ({mode:?}) is not its input"))?;
        }
        Ok(None)
    })
}
