//! Finds the slots of a module, with topology and channels, by one forward of zeros.

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

/// A submodule for which a slot was requested.
struct SlotRequest {
    path: String,
    /// Whether it was named by its own path, not by a pattern. Then it is an error if it cannot have a slot.
    named: bool,
}

/// The features that a submodule returned.
struct Features {
    shape: Vec<i64>,
    /// Whether they are also the output of the module.
    is_output: bool,
    /// Whether a later operation writes into them.
    is_overwritten: bool,
}

/// Returns the slots of a module, in the order in which forward reaches them. Their names are the submodules'
/// paths.
///
/// `script` is consumed, because a forward may change its buffers.
///
/// # Errors
/// If a submodule cannot have a requested slot, no slot is left, or the forward of zeros fails.
pub(super) fn find(
    mut script: Script,
    path: &Path,
    config: &GraftedConfig,
    device: Device,
) -> Result<Vec<SlotSpec>> {
    let calls = script.calls().map_err(torch)?;
    let place = || path.display().to_string();
    let requests = select_submodules(&calls, config).with_context(place)?;
    let paths: Vec<&str> = requests.iter().map(|request| request.path.as_str()).collect();
    script.attach(&paths).map_err(|error| refused(path, &error))?;
    let (features, batch) =
        collect_features(&mut script, requests.len(), config, device).with_context(place)?;
    let mut slots = Vec::new();
    for (request, features) in requests.iter().zip(features) {
        if !request.named && !is_feature_map(&features) {
            continue;
        }
        let (topology, channels) =
            topology_and_channels(&request.path, &features, batch, config).with_context(place)?;
        slots.push(SlotSpec::new(&request.path, topology, channels));
    }
    if slots.is_empty() {
        let text = format!(
            "no submodule that {} selects returns a feature map; name a submodule: there {}",
            quoted(&config.slots),
            available(&calls)
        );
        return Err(PluginError::config(text)).with_context(place);
    }
    Ok(with_aliases(slots))
}

/// Returns the submodules that the configuration selects.
fn select_submodules(calls: &[Call], config: &GraftedConfig) -> Result<Vec<SlotRequest>> {
    let mut requests = Vec::new();
    let patterns = config.slots.iter().map(|slot| Pattern::new(slot).map_err(PluginError::config));
    let patterns: Vec<Pattern> = patterns.collect::<Result<_>>()?;
    for pattern in &patterns {
        if !calls.iter().any(|call| pattern.matches(&call.path)) {
            let text =
                format!("forward calls no submodule `{}`; there {}", pattern.as_str(), available(calls));
            return Err(PluginError::config(text));
        }
    }
    for call in calls {
        let matching = patterns.iter().filter(|pattern| pattern.matches(&call.path));
        let named = matching.clone().any(Pattern::is_literal);
        if !named && (matching.count() == 0 || call.fit != Fit::Fits) {
            continue;
        }
        if let Some(reason) = reason_against_slot(&call.fit) {
            return Err(PluginError::unsupported(format!("no slot can be behind `{}`: {reason}", call.path)));
        }
        requests.push(SlotRequest { path: call.path.clone(), named });
    }
    Ok(requests)
}

/// Returns why a submodule cannot have a slot; `None` if it can.
fn reason_against_slot(fit: &Fit) -> Option<String> {
    match fit {
        Fit::Fits => None,
        Fit::Repeated(times) => Some(format!(
            "forward calls it {times} times, and a slot is reached once; name the submodule that \
             contains it"
        )),
        Fit::Conditional => Some(
            "it is called inside an `if` or a loop, and a slot is reached once; name the submodule that \
             contains it"
                .to_owned(),
        ),
        Fit::Returns(what) => Some(format!("it returns {what}, not one tensor; name a submodule inside it")),
        _ => Some("it cannot be tapped".to_owned()),
    }
}

/// Runs a forward of zeros in eval mode. Returns the features of each selected submodule, and the batch size.
fn collect_features(
    script: &mut Script,
    taps: usize,
    config: &GraftedConfig,
    device: Device,
) -> Result<(Vec<Features>, i64)> {
    let _fork = RngFork::here().map_err(torch)?;
    let zeros = config.zeros(config.batch(), device)?;
    script.train(false).map_err(torch)?;
    let mut tapped: Vec<Option<(Tensor, u32)>> = (0..taps).map(|_| None).collect();
    let output = tch::no_grad(|| {
        script.forward(&zeros, &mut |slot, x: Tensor| {
            if let Some(at_slot) = tapped.get_mut(slot) {
                *at_slot = Some((x.shallow_clone(), version(&x)?));
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
    check_other_batch_size(script, config, device)?;
    let describe = |x: Option<(Tensor, u32)>| {
        let (x, before) =
            x.ok_or_else(|| PluginError::unsupported("a submodule was not reached")).with_context(doing)?;
        let is_output = x.data_ptr() == output.data_ptr() && x.size() == output.size();
        Ok(Features { shape: x.size(), is_output, is_overwritten: version(&x).map_err(torch)? != before })
    };
    Ok((tapped.into_iter().map(describe).collect::<Result<_>>()?, zeros.size()[0]))
}

/// Refuses a module that works with only one batch size. Tracing may write the batch size of its example into
/// the module.
fn check_other_batch_size(script: &mut Script, config: &GraftedConfig, device: Device) -> Result<()> {
    let (first, second) = (config.batch(), config.batch() + 3);
    let zeros = config.zeros(second, device)?;
    let output = tch::no_grad(|| script.forward(&zeros, &mut |_, x: Tensor| Ok::<_, PluginError>(x)));
    let reason = match output {
        Ok(output) if output.size().first() == Some(&second) => return Ok(()),
        Ok(output) => format!("it returns shape {:?} for a batch of {second}", output.size()),
        Err(Failed::Torch(error)) => torch(error).message,
        Err(Failed::Tap(error)) => return Err(error),
    };
    Err(PluginError::config(format!(
        "it accepts a batch of {first} samples but not of {second}, so the batch size seems to be fixed in it; \
         script it, or trace it without sizes in its code: {reason}"
    )))
}

/// Whether a submodule that a pattern selects gets a slot: its features have several positions, are not the
/// output of the module, and are not overwritten later.
fn is_feature_map(features: &Features) -> bool {
    let is_feature = !features.is_output && !features.is_overwritten;
    match features.shape[..] {
        [_, _, height, width] => is_feature && height * width > 1,
        [_, positions, _] => is_feature && positions > 1,
        _ => false,
    }
}

/// Returns the topology of a slot and the size of its channel dimension.
fn topology_and_channels(
    path: &str,
    features: &Features,
    batch: i64,
    config: &GraftedConfig,
) -> Result<(Topology, i64)> {
    let shape = &features.shape[..];
    let refused = |why: &str| {
        let text = format!("no slot can be behind `{path}`: it returns features of shape {shape:?}, {why}");
        Err(PluginError::unsupported(text))
    };
    let (topology, channels) = match shape {
        [_, channels, _, _] => (Topology::CNN, *channels),
        [_, _, channels] => (Topology::TRANSFORMER, *channels),
        _ => return refused("which are neither [N, C, H, W] nor [N, T, C]"),
    };
    if shape.first() != Some(&batch) {
        return refused(&format!("whose first dimension is not the batch size {batch}"));
    }
    if features.is_overwritten {
        return refused(
            "and a later operation writes into them (`inplace=True`); name the submodule that contains it",
        );
    }
    Ok((config.topology.as_deref().map_or(topology, Topology::from_name), channels))
}

/// Adds the aliases `early`, `mid` and `late`, except those that are names of slots.
fn with_aliases(slots: Vec<SlotSpec>) -> Vec<SlotSpec> {
    let names: BTreeSet<String> = slots.iter().map(|slot| slot.name.clone()).collect();
    let mut slots = SlotSpec::alias_thirds(slots);
    for slot in &mut slots {
        slot.aliases.retain(|alias| !names.contains(alias));
    }
    slots
}

/// Returns the end of a message that begins with "there" and lists the submodules.
fn available(calls: &[Call]) -> String {
    if calls.is_empty() {
        return "is none: the module was frozen, or traced or scripted as one piece; save it with its submodules".to_owned();
    }
    let paths: Vec<&str> = calls.iter().map(|call| call.path.as_str()).collect();
    format!("are {}", paths.join(", "))
}

fn quoted(slots: &[String]) -> String {
    slots.iter().map(|slot| format!("`{slot}`")).collect::<Vec<_>>().join(", ")
}
