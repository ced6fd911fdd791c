//! A blueprint file as it was understood: its layers with their keys, and how the output comes about.

use crate::header::{self, Header, Parameters};
use crate::layer::{Layer, Output};
use crate::ops::Kind;
use crate::reader::Reader;
use crate::source::{Fault, Result, Source};
use crate::values::{Names, Unwired};
use crate::wiring;
use serde_json::{Map, Value};
use toml::de::DeValue;

/// The most layers that a document may have.
const MOST_LAYERS: usize = 512;

/// A document that holds together: every name leads somewhere, and every layer to the output.
#[derive(Debug, Clone)]
pub(crate) struct Document {
    pub(crate) source: Source,
    pub(crate) header: Header,
    pub(crate) parameters: Parameters,
    /// In the order of the text.
    pub(crate) layers: Vec<Layer>,
    /// The same in an order in which each comes after its inputs.
    pub(crate) order: Vec<usize>,
    pub(crate) output: Output,
}

impl Document {
    /// Reads a document; the fault is the first that was found.
    pub(crate) fn read(file: &str, text: &str, settings: &Map<String, Value>) -> Result<Self, String> {
        let source = Source::new(file, text);
        match Self::understand(&source, settings) {
            Ok(document) => Ok(document),
            Err(fault) => Err(source.tell(&fault)),
        }
    }

    fn understand(source: &Source, settings: &Map<String, Value>) -> Result<Self> {
        let table = header::toml(source)?;
        let root = Reader::new(&table, "a blueprint file");
        root.only(&["blueprint", "parameters", "layer", "output"])?;
        let header = Header::read(&root)?;
        let parameters = header::parameters(&root, settings)?;
        let names = Names { source, parameters: &parameters };

        let Some((value, at)) = root.entry("layer") else {
            return Err(Fault::whole("there is no [[layer]]; a blueprint has at least one"));
        };
        let DeValue::Array(items) = value.get_ref() else {
            return Err(Fault::at(&at, "`layer` is not an array of tables; write [[layer]]"));
        };
        if items.is_empty() || items.len() > MOST_LAYERS {
            let text = format!("there are {} layers; a blueprint has 1 to {MOST_LAYERS}", items.len());
            return Err(Fault::at(&at, text));
        }
        let unwired: Vec<Unwired<'_>> = items.iter().map(|item| names.layer(item)).collect::<Result<_>>()?;
        let dropout = unwired.iter().find(|u| u.layer.op.kind == Kind::Dropout);
        if let Some(dropout) = dropout.filter(|_| header.declares("stochastic").is_none()) {
            let text =
                "`dropout` draws random numbers; add \"stochastic\" to the capabilities of [blueprint]";
            return Err(Fault::at(&dropout.layer.at, text));
        }

        let mut layers = Vec::new();
        let mut named = Vec::new();
        for part in unwired {
            named.push(part.from);
            layers.push(part.layer);
        }
        wiring::connect(&mut layers, &named)?;
        let output = names.output(&root, &layers)?;
        let order = wiring::order(&layers, &output)?;
        Ok(Self { source: source.clone(), header, parameters, layers, order, output })
    }

    /// A fault as its reader sees it.
    pub(crate) fn tell(&self, fault: &Fault) -> String {
        self.source.tell(fault)
    }
}
