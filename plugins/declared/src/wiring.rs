//! From names to edges: who feeds whom, and in which order they run.

use crate::layer::{Layer, Output, Wire};
use crate::reader::At;
use crate::source::{Fault, Result, instead};
use std::collections::BTreeSet;

/// Gives each layer its inputs. Without a `from` that is the layer above, and for the first the slot.
pub(crate) fn connect(layers: &mut [Layer], from: &[Option<Vec<At<&str>>>]) -> Result<()> {
    let mut seen = BTreeSet::new();
    for layer in layers.iter() {
        if let Some(name) = layer.name.as_deref().filter(|name| !seen.insert(*name)) {
            return Err(Fault::at(
                &layer.at,
                format!("a layer above is called `{name}` already; rename one"),
            ));
        }
    }
    let mut wires = Vec::new();
    for (index, named) in from.iter().enumerate() {
        wires.push(match named {
            Some(names) => names.iter().map(|name| find(layers, name)).collect::<Result<_>>()?,
            None => vec![index.checked_sub(1).map_or(Wire::Input, Wire::Layer)],
        });
    }
    for (layer, wires) in layers.iter_mut().zip(wires) {
        layer.inputs = wires;
    }
    for (layer, named) in layers.iter().zip(from) {
        let (count, op) = (layer.inputs.len(), layer.op.name());
        if layer.op.several && count < 2 {
            let text =
                format!("`{op}` takes two or more inputs and has {count}; write from = [\"..\", \"..\"]");
            return Err(Fault::at(&layer.at, text));
        }
        if !layer.op.several && count != 1 {
            let at = named.iter().flatten().nth(1).map_or(&layer.at, |name| &name.at);
            let text = format!(
                "`{op}` takes one input and has {count}; bring several together with `add`, `mul` or `concat`"
            );
            return Err(Fault::at(at, text));
        }
    }
    Ok(())
}

/// The layer of that name.
pub(crate) fn find(layers: &[Layer], name: &At<&str>) -> Result<Wire> {
    if name.value == "input" {
        return Ok(Wire::Input);
    }
    let index = layers.iter().position(|layer| layer.name.as_deref() == Some(name.value));
    index.map(Wire::Layer).ok_or_else(|| {
        let known = layers.iter().filter_map(|layer| layer.name.as_deref());
        let meant = instead(name.value, known.chain(["input"]), "there are");
        let text = format!("there is no layer `{}`{meant}", name.value);
        Fault::at(&name.at, text)
    })
}

/// Each layer after its inputs, and otherwise as in the text. Refuses circles, and layers that lead nowhere.
pub(crate) fn order(layers: &[Layer], output: &Output) -> Result<Vec<usize>> {
    let mut walk = Walk { layers, done: vec![false; layers.len()], path: Vec::new(), order: Vec::new() };
    for index in 0..layers.len() {
        walk.visit(index)?;
    }
    let mut used = vec![false; layers.len()];
    if let Wire::Layer(last) = output.from {
        used[last] = true;
    }
    // Whoever uses a layer comes behind it.
    for &index in walk.order.iter().rev().filter(|index| **index < layers.len()) {
        if used[index] {
            for wire in &layers[index].inputs {
                if let Wire::Layer(input) = wire {
                    used[*input] = true;
                }
            }
        }
    }
    match used.iter().position(|used| !used) {
        None => Ok(walk.order),
        Some(index) => {
            let layer = &layers[index];
            let text = format!("nothing uses {}; take it out, or name it in a `from`", layer.shown());
            Err(Fault::at(&layer.at, text))
        }
    }
}

/// A walk from each layer to its inputs.
struct Walk<'a> {
    layers: &'a [Layer],
    done: Vec<bool>,
    path: Vec<usize>,
    order: Vec<usize>,
}

impl Walk<'_> {
    fn visit(&mut self, index: usize) -> Result<()> {
        if self.done[index] {
            return Ok(());
        }
        if let Some(start) = self.path.iter().position(|on_path| *on_path == index) {
            return Err(self.circle(&self.path[start..]));
        }
        self.path.push(index);
        for wire in &self.layers[index].inputs {
            if let Wire::Layer(input) = wire {
                self.visit(*input)?;
            }
        }
        self.path.pop();
        self.done[index] = true;
        self.order.push(index);
        Ok(())
    }

    fn circle(&self, path: &[usize]) -> Fault {
        // Told from the first in the text, in the direction in which features would flow.
        let first = path.iter().enumerate().min_by_key(|(_, index)| **index).map_or(0, |(at, _)| at);
        let mut names: Vec<String> =
            path.iter().cycle().skip(first).take(path.len() + 1).map(|i| self.layers[*i].shown()).collect();
        names.reverse();
        let at = path.iter().min().map_or(0..0, |index| self.layers[*index].at.clone());
        let text = format!(
            "these layers feed each other in a circle: {}; one must begin elsewhere",
            names.join(" -> ")
        );
        Fault::at(&at, text)
    }
}
