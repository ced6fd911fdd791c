//! Resolving names to connections between layers, and the order in which layers run.

use crate::layer::{Layer, Output, Wire};
use crate::reader::At;
use crate::source::{Fault, Result, suggestion};
use std::collections::BTreeSet;

/// Sets the inputs of each layer. Without a `from` the input is the previous layer, or the slot for the
/// first.
pub(crate) fn connect(layers: &mut [Layer], from: &[Option<Vec<At<&str>>>]) -> Result<()> {
    let mut seen = BTreeSet::new();
    for layer in layers.iter() {
        if let Some(name) = layer.name.as_deref().filter(|name| !seen.insert(*name)) {
            return Err(Fault::at(
                &layer.at,
                format!("another layer above is already named `{name}`; rename one"),
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
                format!("`{op}` takes two or more inputs and has {count}; write from = [\"a\", \"b\"]");
            return Err(Fault::at(&layer.at, text));
        }
        if !layer.op.several && count != 1 {
            let at = named.iter().flatten().nth(1).map_or(&layer.at, |name| &name.at);
            let text = format!(
                "`{op}` takes one input and has {count}; combine several with `add`, `mul` or `concat`"
            );
            return Err(Fault::at(at, text));
        }
    }
    Ok(())
}

/// Returns the layer with a name, or the slot for `input`.
pub(crate) fn find(layers: &[Layer], name: &At<&str>) -> Result<Wire> {
    if name.value == "input" {
        return Ok(Wire::Input);
    }
    let index = layers.iter().position(|layer| layer.name.as_deref() == Some(name.value));
    index.map(Wire::Layer).ok_or_else(|| {
        let known = layers.iter().filter_map(|layer| layer.name.as_deref());
        let hint = suggestion(name.value, known.chain(["input"]), "there are");
        let text = format!("there is no layer `{}`{hint}", name.value);
        Fault::at(&name.at, text)
    })
}

/// Returns the order in which the layers run: each after its inputs, otherwise in the order of the text.
/// Refuses cycles, and layers that the output does not depend on.
pub(crate) fn order(layers: &[Layer], output: &Output) -> Result<Vec<usize>> {
    let mut walk = Walk { layers, done: vec![false; layers.len()], path: Vec::new(), order: Vec::new() };
    for index in 0..layers.len() {
        walk.visit(index)?;
    }
    let mut used = vec![false; layers.len()];
    if let Wire::Layer(last) = output.from {
        used[last] = true;
    }
    // In reverse order, all users of a layer are visited before it.
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
            let text = format!("nothing uses {}; remove it, or name it in a `from`", layer.label());
            Err(Fault::at(&layer.at, text))
        }
    }
}

/// Depth-first search from each layer to its inputs.
struct Walk<'a> {
    layers: &'a [Layer],
    done: Vec<bool>,
    /// Layers from the start of the search to the current one.
    path: Vec<usize>,
    order: Vec<usize>,
}

impl Walk<'_> {
    fn visit(&mut self, index: usize) -> Result<()> {
        if self.done[index] {
            return Ok(());
        }
        if let Some(start) = self.path.iter().position(|on_path| *on_path == index) {
            return Err(self.cycle(&self.path[start..]));
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

    fn cycle(&self, path: &[usize]) -> Fault {
        // Listed from the first layer in the text, in the direction of the features.
        let first = path.iter().enumerate().min_by_key(|(_, index)| **index).map_or(0, |(at, _)| at);
        let mut names: Vec<String> =
            path.iter().cycle().skip(first).take(path.len() + 1).map(|i| self.layers[*i].label()).collect();
        names.reverse();
        let at = path.iter().min().map_or(0..0, |index| self.layers[*index].at.clone());
        let text =
            format!("these layers form a cycle: {}; give one of them another input", names.join(" -> "));
        Fault::at(&at, text)
    }
}
