//! Which slots a module has, and what flows through each: seen in one forward of zeros.

use super::config::GraftedConfig;
use super::failure::{refused, torch};
use super::pattern::Pattern;
use kasmina_plugin_api::{Context as _, PluginError, Result, SlotSpec, Topology};
use kasmina_torch_ext::autograd::version;
use kasmina_torch_ext::rng::RngFork;
use kasmina_torch_ext::script::{Call, Failed, Fit, Script};
use std::collections::BTreeSet;
use std::path::Path;
use tch::{Device, Tensor};

/// A submodule that a slot was asked for behind.
struct SlotRequest {
    path: String,
    /// By its own path, and not by a pattern: then it must be able to carry one.
    named: bool,
}

/// What came out of a submodule.
struct Seen {
    shape: Vec<i64>,
    /// The module returns it as it is.
    is_output: bool,
    /// What follows writes into it.
    is_overwritten: bool,
}

/// The slots of a module, in the order in which forward reaches them. Their names are the submodules' paths.
///
/// `script` is used up: it ran a forward.
pub(super) fn find(
    mut script: Script,
    path: &Path,
    config: &GraftedConfig,
    device: Device,
) -> Result<Vec<SlotSpec>> {
    let calls = script.calls().map_err(torch)?;
    let place = || path.display().to_string();
    let requests = choose(&calls, config).with_context(place)?;
    let paths: Vec<&str> = requests.iter().map(|request| request.path.as_str()).collect();
    script.attach(&paths).map_err(|error| refused(path, &error))?;
    let (seen, batch) = look(&mut script, requests.len(), config, device).with_context(place)?;
    let mut slots = Vec::new();
    for (request, seen) in requests.iter().zip(seen) {
        if !request.named && !is_feature_map(&seen) {
            continue;
        }
        let (topology, channels) = site(&request.path, &seen, batch, config).with_context(place)?;
        slots.push(SlotSpec::new(&request.path, topology, channels));
    }
    if slots.is_empty() {
        let text = format!(
            "nothing that {} means gives a feature map; name a submodule: there {}",
            quoted(&config.slots),
            known(&calls)
        );
        return Err(PluginError::config(text)).with_context(place);
    }
    Ok(aliased(slots))
}

/// The submodules that are meant.
fn choose(calls: &[Call], config: &GraftedConfig) -> Result<Vec<SlotRequest>> {
    let mut requests = Vec::new();
    let patterns = config.slots.iter().map(|slot| Pattern::new(slot).map_err(PluginError::config));
    let patterns: Vec<Pattern> = patterns.collect::<Result<_>>()?;
    for pattern in &patterns {
        if !calls.iter().any(|call| pattern.matches(&call.path)) {
            let text = format!("forward calls no submodule `{}`; there {}", pattern.as_str(), known(calls));
            return Err(PluginError::config(text));
        }
    }
    for call in calls {
        let meant = patterns.iter().filter(|pattern| pattern.matches(&call.path));
        let named = meant.clone().any(Pattern::is_literal);
        if !named && (meant.count() == 0 || call.fit != Fit::Fits) {
            continue;
        }
        if let Some(reason) = unfit(&call.fit) {
            return Err(PluginError::unsupported(format!("no slot can be behind `{}`: {reason}", call.path)));
        }
        requests.push(SlotRequest { path: call.path.clone(), named });
    }
    Ok(requests)
}

fn unfit(fit: &Fit) -> Option<String> {
    match fit {
        Fit::Fits => None,
        Fit::Repeated(times) => Some(format!(
            "forward calls it {times} times, and a slot is reached once; name what is around it"
        )),
        Fit::Conditional => Some(
            "it is called inside an `if` or a loop, and a slot is reached once; name what is around it"
                .to_owned(),
        ),
        Fit::Returns(what) => Some(format!("it returns {what}, not one tensor; name what is inside it")),
        _ => Some("it cannot be tapped".to_owned()),
    }
}

/// Runs zeros through, in eval mode, and notes what each submodule returned; answers also with the size of
/// the batch.
fn look(
    script: &mut Script,
    taps: usize,
    config: &GraftedConfig,
    device: Device,
) -> Result<(Vec<Seen>, i64)> {
    let _fork = RngFork::here().map_err(torch)?;
    let zeros = config.zeros(config.batch(), device)?;
    script.train(false).map_err(torch)?;
    let mut features: Vec<Option<(Tensor, u32)>> = (0..taps).map(|_| None).collect();
    let output = tch::no_grad(|| {
        script.forward(&zeros, &mut |slot, x: Tensor| {
            if let Some(seen) = features.get_mut(slot) {
                *seen = Some((x.shallow_clone(), version(&x)?));
            }
            Ok(x)
        })
    });
    let doing =
        || format!("a forward of zeros {:?} (`sample` with a batch of {})", zeros.size(), zeros.size()[0]);
    let output = match output {
        Ok(output) => output,
        Err(Failed::Torch(error) | Failed::Tap(error)) => return Err(torch(error)).with_context(doing),
    };
    takes_any_batch(script, config, device)?;
    let seen = |x: Option<(Tensor, u32)>| {
        let (x, before) =
            x.ok_or_else(|| PluginError::unsupported("a submodule was not reached")).with_context(doing)?;
        let is_output = x.data_ptr() == output.data_ptr() && x.size() == output.size();
        Ok(Seen { shape: x.size(), is_output, is_overwritten: version(&x).map_err(torch)? != before })
    };
    Ok((features.into_iter().map(seen).collect::<Result<_>>()?, zeros.size()[0]))
}

/// A module that was traced may have the size of its example's batch in it.
fn takes_any_batch(script: &mut Script, config: &GraftedConfig, device: Device) -> Result<()> {
    let (first, second) = (config.batch(), config.batch() + 3);
    let zeros = config.zeros(second, device)?;
    let output = tch::no_grad(|| script.forward(&zeros, &mut |_, x: Tensor| Ok::<_, PluginError>(x)));
    let reason = match output {
        Ok(output) if output.size().first() == Some(&second) => return Ok(()),
        Ok(output) => format!("it makes {:?} of a batch of {second}", output.size()),
        Err(Failed::Torch(error)) => torch(error).message,
        Err(Failed::Tap(error)) => return Err(error),
    };
    Err(PluginError::config(format!(
        "it takes a batch of {first} samples and not of {second}, so the size of the batch seems to be written in it; \
         script it, or trace it without sizes in its code: {reason}"
    )))
}

/// Whether a pattern that means it wants a slot there: what the module returns is no feature, one position is
/// no map, and nobody else may write into what a seed has been given.
fn is_feature_map(seen: &Seen) -> bool {
    let is_feature = !seen.is_output && !seen.is_overwritten;
    match seen.shape[..] {
        [_, _, height, width] => is_feature && height * width > 1,
        [_, positions, _] => is_feature && positions > 1,
        _ => false,
    }
}

/// What flows through a slot, and the size of its channel dimension.
fn site(path: &str, seen: &Seen, batch: i64, config: &GraftedConfig) -> Result<(Topology, i64)> {
    let shape = &seen.shape[..];
    let refused = |why: &str| {
        let text = format!("no slot can be behind `{path}`: it makes features of shape {shape:?}, {why}");
        Err(PluginError::unsupported(text))
    };
    let (topology, channels) = match shape {
        [_, channels, _, _] => (Topology::CNN, *channels),
        [_, _, channels] => (Topology::TRANSFORMER, *channels),
        _ => return refused("which are neither [N, C, H, W] nor [N, T, C]"),
    };
    if shape.first() != Some(&batch) {
        return refused(&format!("whose first dimension is not the batch of {batch}"));
    }
    if seen.is_overwritten {
        return refused("and what follows writes into them (`inplace=True`); name what is around it");
    }
    Ok((config.topology.as_deref().map_or(topology, Topology::from_name), channels))
}

/// `early`, `mid` and `late`, but for a name that a submodule has.
fn aliased(slots: Vec<SlotSpec>) -> Vec<SlotSpec> {
    let names: BTreeSet<String> = slots.iter().map(|slot| slot.name.clone()).collect();
    let mut slots = SlotSpec::alias_thirds(slots);
    for slot in &mut slots {
        slot.aliases.retain(|alias| !names.contains(alias));
    }
    slots
}

/// What a path can be, for messages.
fn known(calls: &[Call]) -> String {
    if calls.is_empty() {
        return "is none: the module was frozen, or traced or scripted as one piece; save it with its submodules".to_owned();
    }
    let paths: Vec<&str> = calls.iter().map(|call| call.path.as_str()).collect();
    format!("are {}", paths.join(", "))
}

fn quoted(slots: &[String]) -> String {
    slots.iter().map(|slot| format!("`{slot}`")).collect::<Vec<_>>().join(", ")
}
