//! A parsed blueprint file: its layers with their keys, and how the output is computed.

use crate::header::{self, Header, Parameters};
use crate::layer::{Layer, Output};
use crate::ops::Kind;
use crate::reader::Reader;
use crate::source::{Fault, Result, Source};
use crate::values::{Scope, Unwired};
use crate::wiring;
use serde_json::{Map, Value};
use toml::de::DeValue;

/// Limit on the layers of a document.
const MAX_LAYERS: usize = 512;

/// A consistent document: every name is defined, and the output depends on every layer.
#[derive(Debug, Clone)]
pub(crate) struct Document {
    pub(crate) source: Source,
    pub(crate) header: Header,
    pub(crate) parameters: Parameters,
    /// Layers in the order of the text.
    pub(crate) layers: Vec<Layer>,
    /// Indices of the layers in an order in which each comes after its inputs.
    pub(crate) order: Vec<usize>,
    pub(crate) output: Output,
}

impl Document {
    /// Reads a document. The error is the message of the first fault.
    pub(crate) fn read(file: &str, text: &str, settings: &Map<String, Value>) -> Result<Self, String> {
        let source = Source::new(file, text);
        match Self::parse(&source, settings) {
            Ok(document) => Ok(document),
            Err(fault) => Err(source.message(&fault)),
        }
    }

    fn parse(source: &Source, settings: &Map<String, Value>) -> Result<Self> {
        let table = header::toml(source)?;
        let root = Reader::new(&table, "a blueprint file");
        root.refuse_other_keys(&["blueprint", "parameters", "layer", "output"])?;
        let header = Header::read(&root)?;
        let parameters = header::parameters(&root, settings)?;
        let scope = Scope { source, parameters: &parameters };

        let Some((value, at)) = root.entry("layer") else {
            return Err(Fault::whole("there is no [[layer]]; a blueprint has at least one"));
        };
        let DeValue::Array(items) = value.get_ref() else {
            return Err(Fault::at(&at, "`layer` is not an array of tables; write [[layer]]"));
        };
        if items.is_empty() || items.len() > MAX_LAYERS {
            let text = format!("there are {} layers; a blueprint has 1 to {MAX_LAYERS}", items.len());
            return Err(Fault::at(&at, text));
        }
        let unwired: Vec<Unwired<'_>> = items.iter().map(|item| scope.layer(item)).collect::<Result<_>>()?;
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
        let output = scope.output(&root, &layers)?;
        let order = wiring::order(&layers, &output)?;
        Ok(Self { source: source.clone(), header, parameters, layers, order, output })
    }

    /// Returns the message of a fault, with its place in the document.
    pub(crate) fn message(&self, fault: &Fault) -> String {
        self.source.message(fault)
    }
}
