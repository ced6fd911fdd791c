//! `modeling_kasmina.py`: the network as plain PyTorch.

use super::literal::{keywords, literal, string};
use super::source::Sources;
use crate::names::key;
use crate::{ExportError, Part, SeedInSlot, Structure};
use kasmina_trainer::task::{Input, Interface};
use std::fmt::Write as _;

/// The parts of the file that are the same for every network of a kind.
const HEAD: &str = include_str!("templates/head.py");
const BLENDED: &str = include_str!("templates/blended.py");
const LOAD: &str = include_str!("templates/load.py");
const PLACE: &str = include_str!("templates/place.py");
const LOAD_HOST: &str = include_str!("templates/load_host.py");
const IMAGES: &str = include_str!("templates/images.py");
const TOKENS: &str = include_str!("templates/tokens.py");

/// Name of the class that transformers loads.
pub(super) fn architecture(interface: &Interface) -> &'static str {
    match interface.input {
        Input::Image(_) => "KasminaForImageClassification",
        Input::Tokens(_) => "KasminaForCausalLM",
    }
}

/// Writes the Python file of a network.
///
/// # Errors
/// If a part has no PyTorch source, or one that is not what the plugin guide asks for.
pub(super) fn text(network: &Structure, interface: &Interface) -> Result<String, ExportError> {
    let mut sources = Sources::default();
    let classes = network.parts().map(|(part, name)| class(&mut sources, part, &name));
    let mut classes = classes.collect::<Result<Vec<_>, _>>()?.into_iter();
    let host = classes.next().unwrap_or_default();
    let mut slots = String::new();
    for seed in &network.seeds {
        let made = instance(&classes.next().unwrap_or_default(), seed, &seed.seed);
        let made = if seed.seed_alone {
            made
        } else {
            let blend = instance(&classes.next().unwrap_or_default(), seed, &seed.blend);
            format!("Blended({made}, {blend}, {})", literal(&seed.alpha.into()))
        };
        let SeedInSlot { slot, seed: part, stage, .. } = seed;
        let (name, version) = (part.entry.full_name(), &part.entry.version);
        let _ = writeln!(slots, "    # {name} {version}, {stage}");
        let _ = writeln!(slots, "    slots[{}] = {made}", string(&key(slot)));
    }
    let blended = network.seeds.iter().any(|seed| !seed.seed_alone);
    let mut text = HEAD.to_owned();
    text.push_str(&sources.text());
    if blended {
        let _ = write!(text, "\n\n{BLENDED}");
    }
    let _ = write!(text, "\n\n{}\n\n{LOAD}\n\n", function(&host, network, &slots));
    text.push_str(match interface.input {
        Input::Image(_) => IMAGES,
        Input::Tokens(_) => TOKENS,
    });
    Ok(text)
}

/// Writes the Python file of a host with the identity as a linear layer in each slot that has a seed.
///
/// # Errors
/// As for [`text`].
pub(crate) fn with_linear_slots(network: &Structure) -> Result<String, ExportError> {
    let mut sources = Sources::default();
    let name = format!("host `{}`", network.host.entry.full_name());
    let host = class(&mut sources, &network.host, &name)?;
    let slot =
        |seed: &SeedInSlot| format!("    slots[{}] = Place({})\n", string(&key(&seed.slot)), seed.channels);
    let slots: String = network.seeds.iter().map(slot).collect();
    let function = function(&host, network, &slots);
    Ok(format!("{HEAD}{}\n\n{PLACE}\n\n{function}\n\n{LOAD_HOST}", sources.text()))
}

/// Writes the function that builds the network. `slots` are the lines that fill the slots.
fn function(host: &str, network: &Structure, slots: &str) -> String {
    let settings = keywords(&network.host.config);
    format!(
        "def network():\n    \"\"\"Builds the network with initial weights\"\"\"\n    \
         slots = nn.ModuleDict()\n{slots}    return {host}(slots{settings})\n"
    )
}

fn class(sources: &mut Sources, part: &Part, name: &str) -> Result<String, ExportError> {
    let source = part.pytorch.as_ref().ok_or_else(|| ExportError::NoSource { part: name.to_owned() })?;
    sources.add(source, &part.entry.plugin, name)
}

fn instance(class: &str, seed: &SeedInSlot, part: &Part) -> String {
    format!("{class}({}, {}{})", seed.channels, string(&seed.topology), keywords(&part.config))
}
