//! The blueprint `graph`, which builds seeds from a document of layers.

use crate::birth::Birth;
use crate::document::Document;
use crate::header::Header;
use crate::layers::{Built, Pass};
use crate::mix::Mixer;
use crate::plan::Plan;
use crate::pytorch;
use crate::shape::Space;
use crate::source::{Fault, suggestion};
use kasmina_plugin_api::prelude::*;
use serde_json::{Map, Value};
use std::sync::Arc;

/// Unparsed configuration of `graph`: a whole document, and values for its parameters.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawGraph {
    /// Name of the document in messages.
    pub file: String,
    /// The text of a `NAME.blueprint.toml`.
    pub source: String,
    /// Values that replace the defaults in the document's `[parameters]`.
    #[serde(default)]
    pub settings: Map<String, Value>,
}

/// Configuration of `graph`: a document that has passed all checks that need no tensors.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "RawGraph")]
pub struct GraphConfig {
    document: Arc<Document>,
}

/// Document that `graph` uses by default.
const DEFAULT: &str = include_str!("default.blueprint.toml");

/// Supported topologies, with the kind of their features.
const TOPOLOGIES: [(Topology, Space); 2] =
    [(Topology::CNN, Space::Map), (Topology::TRANSFORMER, Space::Sequence)];

/// Numbers of channels at which a document is checked. Messages refer to the first.
const CHECKED_CHANNELS: [i64; 7] = [64, 1, 3, 8, 16, 48, 384];

impl TryFrom<RawGraph> for GraphConfig {
    type Error = String;

    /// Finds all mistakes that do not depend on a slot, so that they are reported when the file is loaded.
    fn try_from(raw: RawGraph) -> Result<Self, String> {
        let document = Document::read(&raw.file, &raw.source, &raw.settings)?;
        check(&document).map_err(|fault| document.message(&fault))?;
        Ok(Self { document: Arc::new(document) })
    }
}

impl std::default::Default for GraphConfig {
    #[expect(clippy::expect_used, reason = "a constant of this crate, read by a test")]
    fn default() -> Self {
        let (file, source) = ("default.blueprint.toml".to_owned(), DEFAULT.to_owned());
        Self::try_from(RawGraph { file, source, settings: Map::new() })
            .expect("the built-in document is valid")
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

/// Checks the document's shapes at several slots, and the seed at birth.
fn check(document: &Document) -> Result<(), Fault> {
    let header = &document.header;
    for named in header.topologies.iter().flatten() {
        let known = TOPOLOGIES.map(|(topology, _)| topology);
        if !known.iter().any(|topology| topology.as_str() == named.value) {
            let hint = suggestion(&named.value, known.iter().map(Topology::as_str), "there are");
            let text = format!("layers do not support the topology `{}`{hint}", named.value);
            return Err(Fault::at(&named.at, text));
        }
    }
    // Every declared topology must work. If none is declared, one of those that all operations support must.
    let mut candidates: Vec<_> = TOPOLOGIES.into_iter().filter(|(t, _)| header.serves(t.as_str())).collect();
    if header.topologies.is_none() {
        let supported = |space: Space| document.layers.iter().all(|layer| space.supports(layer.op));
        if candidates.iter().any(|(_, space)| supported(*space)) {
            candidates.retain(|(_, space)| supported(*space));
        }
    }
    let count = candidates.len();
    let mut faults = Vec::new();
    for (topology, space) in candidates {
        match first_plan(document, space) {
            Ok(plan) => check_birth(document, header, &plan)?,
            Err(fault) => faults.push((topology, fault)),
        }
    }
    let all_fail = faults.len() == count;
    let alike = all_fail && faults.windows(2).all(|pair| matches!(pair, [(_, a), (_, b)] if a == b));
    match faults.into_iter().next() {
        Some((_, fault)) if alike => Err(fault),
        Some((topology, fault)) if all_fail || header.topologies.is_some() => {
            Err(with_topology(fault, topology))
        }
        _ => Ok(()),
    }
}

/// Adds the topology to the message of a fault.
fn with_topology(fault: Fault, topology: Topology) -> Fault {
    fault.map_text(|text| format!("{text} (as `{topology}`)"))
}

/// Returns the plan at the first checked number of channels that the document fits.
fn first_plan(document: &Document, space: Space) -> Result<Plan, Fault> {
    let mut first_fault = None;
    for channels in CHECKED_CHANNELS {
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
        let text = "no parameter would ever learn: a value that is 0 at birth is multiplied by 0 or rectified, so all \
                    gradients are 0; change one of `gain`, `value` and `init`";
        return Err(Fault::at(&document.output.at, text));
    }
    match header.declares("identity_at_birth") {
        Some(at) if !birth.identity => {
            let text = "the layers do not show that the seed is the identity at birth; write `residual = \"add\"` and \
                        `gain = 0.0` in [output], or remove the capability";
            Err(Fault::at(at, text))
        }
        _ => Ok(()),
    }
}

impl GraphConfig {
    /// Returns the plan of the document for a site.
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
            .map_err(|fault| PluginError::unsupported(document.message(&fault)))
    }
}

/// Blueprint that interprets blueprint files. It contains no tensors.
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
        Ok(Box::new(GraphSeed { last_reads: last_reads(&plan), layers, branch: plan.branch, mixer }))
    }

    fn cost(site: &Site, config: &GraphConfig) -> Option<Cost> {
        config.plan(site).ok().map(|plan| plan.cost())
    }

    fn pytorch(site: &Site, config: &GraphConfig) -> Option<String> {
        config.plan(site).ok().map(|plan| pytorch::source(&plan, &config.document.header.id))
    }
}

/// Returns, for each layer, the values that no later layer reads.
fn last_reads(plan: &Plan) -> Vec<Vec<usize>> {
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

/// A layer with its inputs.
#[derive(Debug)]
struct Wired {
    built: Built,
    /// Indices of values: 0 is the slot's features, `n` the output of layer `n - 1`.
    inputs: Vec<usize>,
}

/// A seed that was built from a declared graph.
#[derive(Debug)]
struct GraphSeed {
    layers: Vec<Wired>,
    /// For each layer, the values that no later layer reads.
    last_reads: Vec<Vec<usize>>,
    branch: usize,
    mixer: Mixer,
}

impl Seed for GraphSeed {
    fn forward(&mut self, x: &Tensor, cx: &Cx<'_>) -> Result<Tensor> {
        let pass = Pass { slot: x, train: cx.mode().is_train() };
        let mut values = vec![Some(x.shallow_clone())];
        let missing = || PluginError::other("the input of a layer was freed too early; this is a bug");
        for (layer, last_reads) in self.layers.iter().zip(&self.last_reads) {
            let inputs =
                layer.inputs.iter().map(|i| values.get(*i).and_then(Option::as_ref).ok_or_else(missing));
            let made = layer.built.forward(&inputs.collect::<Result<Vec<_>>>()?, pass)?;
            values.push(Some(made));
            // Frees memory in evaluation, where autograd does not keep the values.
            for value in last_reads {
                values[*value] = None;
            }
        }
        let branch = values.get_mut(self.branch).and_then(Option::take).ok_or_else(missing)?;
        self.mixer.mix(x, branch)
    }
}

kasmina_plugin_api::register_blueprint!(Graph);
