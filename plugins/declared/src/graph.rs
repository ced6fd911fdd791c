//! The blueprint `graph`: a document of layers.

use crate::birth::Birth;
use crate::document::Document;
use crate::header::Header;
use crate::layers::{Built, Pass};
use crate::mix::Mixer;
use crate::plan::Plan;
use crate::pytorch;
use crate::shape::Space;
use crate::source::{Fault, instead};
use kasmina_plugin_api::prelude::*;
use serde_json::{Map, Value};
use std::sync::Arc;

/// The configuration as it is written: a whole document, and values for its parameters.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawGraph {
    /// What messages call the document.
    pub file: String,
    /// The text of a `NAME.blueprint.toml`.
    pub source: String,
    /// Values instead of the defaults in its `[parameters]`.
    #[serde(default)]
    pub settings: Map<String, Value>,
}

/// The configuration of `graph`: a document that has been checked as far as it can be without tensors.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "RawGraph")]
pub struct GraphConfig {
    document: Arc<Document>,
}

/// The document that `graph` has where it is given none.
const DEFAULT: &str = include_str!("default.blueprint.toml");

/// The topologies whose shapes the layers know.
const TOPOLOGIES: [(Topology, Space); 2] =
    [(Topology::CNN, Space::Map), (Topology::TRANSFORMER, Space::Sequence)];

/// The numbers of channels that a document is tried at; the first is the one that messages speak of.
const TRIED: [i64; 7] = [64, 1, 3, 8, 16, 48, 384];

impl TryFrom<RawGraph> for GraphConfig {
    type Error = String;

    /// Every mistake that can be found without a slot is found here: when the file is loaded.
    fn try_from(raw: RawGraph) -> Result<Self, String> {
        let document = Document::read(&raw.file, &raw.source, &raw.settings)?;
        check(&document).map_err(|fault| document.tell(&fault))?;
        Ok(Self { document: Arc::new(document) })
    }
}

impl std::default::Default for GraphConfig {
    #[expect(clippy::expect_used, reason = "a constant of this crate, read by a test")]
    fn default() -> Self {
        let (file, source) = ("default.blueprint.toml".to_owned(), DEFAULT.to_owned());
        Self::try_from(RawGraph { file, source, settings: Map::new() })
            .expect("the built-in document is good")
    }
}

impl JsonSchema for GraphConfig {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "GraphConfig".into()
    }
    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        RawGraph::json_schema(generator)
    }
}

/// Closes the document's shapes at several slots, and looks at what the seed would be at birth.
fn check(document: &Document) -> Result<(), Fault> {
    let header = &document.header;
    for named in header.topologies.iter().flatten() {
        let known = TOPOLOGIES.map(|(topology, _)| topology);
        if !known.iter().any(|topology| topology.as_str() == named.value) {
            let meant = instead(&named.value, known.iter().map(Topology::as_str), "there are");
            let text = format!("layers do not know the topology `{}`{meant}", named.value);
            return Err(Fault::at(&named.at, text));
        }
    }
    // What is declared must work; where nothing is declared, one must of those that all of the operations
    // know.
    let mut meant: Vec<_> = TOPOLOGIES.into_iter().filter(|(t, _)| header.serves(t.as_str())).collect();
    if header.topologies.is_none() {
        let known = |space: Space| document.layers.iter().all(|layer| space.known_to(layer.op));
        if meant.iter().any(|(_, space)| known(*space)) {
            meant.retain(|(_, space)| known(*space));
        }
    }
    let count = meant.len();
    let mut faults = Vec::new();
    for (topology, space) in meant {
        match plan_anywhere(document, space) {
            Ok(plan) => check_birth(document, header, &plan)?,
            Err(fault) => faults.push((topology, fault)),
        }
    }
    let all_fail = faults.len() == count;
    let alike = all_fail && faults.windows(2).all(|pair| matches!(pair, [(_, a), (_, b)] if a == b));
    match faults.into_iter().next() {
        Some((_, fault)) if alike => Err(fault),
        Some((topology, fault)) if all_fail || header.topologies.is_some() => {
            Err(of_topology(fault, topology))
        }
        _ => Ok(()),
    }
}

/// The same, said of one topology.
fn of_topology(fault: Fault, topology: Topology) -> Fault {
    fault.map_text(|text| format!("{text} (as `{topology}`)"))
}

/// The plan of the first slot that the document fits.
fn plan_anywhere(document: &Document, space: Space) -> Result<Plan, Fault> {
    let mut first_fault = None;
    for channels in TRIED {
        match Plan::of(document, space, channels) {
            Ok(plan) => return Ok(plan),
            Err(fault) => first_fault = first_fault.or(Some(fault)),
        }
    }
    Err(first_fault.unwrap_or_else(|| Fault::whole("the document fits no slot")))
}

fn check_birth(document: &Document, header: &Header, plan: &Plan) -> Result<(), Fault> {
    let birth = Birth::of(plan);
    if birth.dead {
        let text = "no parameter would ever learn: what is 0 at birth stands behind or before something else that is \
                    0; let one of `gain`, `value` and `init` be other than 0";
        return Err(Fault::at(&document.output.at, text));
    }
    match header.declares("identity_at_birth") {
        Some(at) if !birth.identity => {
            let text = "the layers do not show that the seed is the identity at birth; write `residual = \"add\"` and \
                        `gain = 0.0` in [output], or take the capability away";
            Err(Fault::at(at, text))
        }
        _ => Ok(()),
    }
}

impl GraphConfig {
    /// What the document says of a site.
    fn plan(&self, site: &Site) -> Result<Plan> {
        let (document, topology) = (&self.document, site.topology());
        let space = TOPOLOGIES.into_iter().find(|(t, _)| *t == topology).map(|(_, space)| space);
        let Some(space) = space.filter(|_| document.header.serves(topology.as_str())) else {
            let (id, served) = (&document.header.id, document.header.served());
            let served = if served.is_empty() { "`cnn`, `transformer`" } else { &served };
            let text = format!("{}: `{id}` serves {served}, not `{topology}`", document.source.file());
            return Err(PluginError::unsupported(text));
        };
        Plan::of(document, space, site.channels())
            .map_err(|fault| PluginError::unsupported(document.tell(&fault)))
    }
}

/// The interpreter of blueprint files. It holds no tensor.
#[derive(Debug)]
pub struct Graph;

impl Blueprint for Graph {
    const INFO: EntryInfo = EntryInfo::new("graph", "layers declared in a blueprint file");
    type Config = GraphConfig;

    fn build(vars: &nn::Path<'_>, site: &Site, config: GraphConfig) -> Result<Box<dyn Seed>> {
        let plan = config.plan(site)?;
        let mut layers = Vec::new();
        for node in &plan.nodes {
            let built = Built::new(vars, node, plan.slot.space)?;
            layers.push(Wired { built, inputs: node.inputs.clone() });
        }
        let mixer = Mixer::new(vars, plan.mix)?;
        Ok(Box::new(GraphSeed { spent: spent(&plan), layers, branch: plan.branch, mixer }))
    }

    fn cost(site: &Site, config: &GraphConfig) -> Option<Cost> {
        config.plan(site).ok().map(|plan| plan.cost())
    }

    fn pytorch(site: &Site, config: &GraphConfig) -> Option<String> {
        config.plan(site).ok().map(|plan| pytorch::source(&plan, &config.document.header.id))
    }
}

/// For each layer the values that nothing behind it reads.
fn spent(plan: &Plan) -> Vec<Vec<usize>> {
    let mut last = vec![0; plan.nodes.len() + 1];
    for (at, node) in plan.nodes.iter().enumerate() {
        for input in &node.inputs {
            last[*input] = at;
        }
    }
    let ends = |at: usize| {
        let kept = |value: &usize| *value != plan.branch && last[*value] == at;
        (1..=at).filter(kept).collect()
    };
    (0..plan.nodes.len()).map(ends).collect()
}

#[derive(Debug)]
struct Wired {
    built: Built,
    /// 0 is the slot's features, `n` is what layer `n - 1` makes.
    inputs: Vec<usize>,
}

/// A seed that was built from a declared graph.
#[derive(Debug)]
struct GraphSeed {
    layers: Vec<Wired>,
    spent: Vec<Vec<usize>>,
    branch: usize,
    mixer: Mixer,
}

impl Seed for GraphSeed {
    fn forward(&mut self, x: &Tensor, cx: &Cx<'_>) -> Result<Tensor> {
        let pass = Pass { slot: x, train: cx.mode().is_train() };
        let mut values = vec![Some(x.shallow_clone())];
        let gone = || PluginError::other("a layer's input is gone");
        for (layer, spent) in self.layers.iter().zip(&self.spent) {
            let inputs =
                layer.inputs.iter().map(|i| values.get(*i).and_then(Option::as_ref).ok_or_else(gone));
            let made = layer.built.forward(&inputs.collect::<Result<Vec<_>>>()?, pass)?;
            values.push(Some(made));
            // In evaluation nothing else keeps them.
            for value in spent {
                values[*value] = None;
            }
        }
        let branch = values.get_mut(self.branch).and_then(Option::take).ok_or_else(gone)?;
        self.mixer.mix(x, branch)
    }
}

kasmina_plugin_api::register_blueprint!(Graph);
