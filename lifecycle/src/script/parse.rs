//! Parsing of `kasmina simulate` scripts.

use super::Script;
use super::fields::{Field, Fields, Result, ScriptError};
use crate::{
    BlendPlan, Curve, Gate, Germination, GradientCapture, Isolation, Operation, QualityGates, Settings, Stage,
};
use std::collections::BTreeSet;

const SCHEMA: u32 = 1;

impl std::str::FromStr for Script {
    type Err = ScriptError;
    fn from_str(text: &str) -> Result<Self> {
        script(text)
    }
}

fn script(text: &str) -> Result<Script> {
    let value = serde_json::from_str(text).map_err(|e| ScriptError::Json(e.to_string()))?;
    let mut fields = Field::root(value).object()?;
    let schema = fields.required("schema")?.count()?;
    if schema != SCHEMA {
        return Err(fields.wrong("schema", format!("version {schema} is not supported; use {SCHEMA}")));
    }
    let mut slot = fields.required("slot")?.object()?;
    let slot_id = slot.required("id")?.text()?;
    let topology = slot.required("topology")?.text()?;
    slot.finish()?;
    let settings = fields.optional("settings").map_or_else(|| Ok(Settings::default()), settings)?;
    let operations =
        fields.required("ops")?.array()?.into_iter().map(operation).collect::<Result<Vec<_>>>()?;
    fields.finish()?;
    Ok(Script { slot_id, topology, settings, operations })
}

fn settings(field: Field) -> Result<Settings> {
    let mut fields = field.object()?;
    let mut s = Settings::default();
    fields.set("gates", &mut s.gates, gates)?;
    fields.set("auto_advance", &mut s.auto_advance, auto_advance)?;
    fields.set("permissive", &mut s.permissive, Field::boolean)?;
    fields.set("max_epochs", &mut s.max_epochs, count_or_null)?;
    fields.set("train_fraction", &mut s.train_fraction, Field::number)?;
    fields.set("holding_timeout", &mut s.holding_timeout, count_or_null)?;
    fields.set("cooldown_epochs", &mut s.cooldown_epochs, Field::count)?;
    fields.set("shadowing_epochs", &mut s.shadowing_epochs, Field::count)?;
    fields.set("isolation", &mut s.isolation, isolation)?;
    s.validate().map_err(|e| fields.wrong(&e.field, e.reason))?;
    fields.finish()?;
    Ok(s)
}

fn gates(field: Field) -> Result<QualityGates> {
    let mut fields = field.object()?;
    let mut g = QualityGates::default();
    fields.set("min_training_improvement", &mut g.min_training_improvement, Field::number)?;
    fields.set("min_blending_epochs", &mut g.min_blending_epochs, Field::count)?;
    fields.set("max_isolation_violations", &mut g.max_isolation_violations, Field::count)?;
    fields.set("min_holding_stability", &mut g.min_holding_stability, Field::number)?;
    fields.set("min_seed_gradient_ratio", &mut g.min_seed_gradient_ratio, Field::number)?;
    fields.set("min_contribution", &mut g.min_contribution, Field::number)?;
    fields.finish()?;
    Ok(g)
}

fn auto_advance(field: Field) -> Result<BTreeSet<Gate>> {
    let known = ["G1", "G2", "G3", "G4"];
    let gate = |name: &str| match name {
        "G1" => Some(Gate::G1),
        "G2" => Some(Gate::G2),
        "G3" => Some(Gate::G3),
        "G4" => Some(Gate::G4),
        _ => None,
    };
    field.array()?.into_iter().map(|item| item.one_of("automatic gate", &known, gate)).collect()
}

fn count_or_null(field: Field) -> Result<Option<u32>> {
    if field.is_null() { Ok(None) } else { field.count().map(Some) }
}

fn isolation(field: Field) -> Result<Isolation> {
    let known = ["always", "release_at_holding", "never"];
    field.one_of("isolation policy", &known, |name| match name {
        // Scripts written before version 0.2 say `bible`.
        "always" | "bible" => Some(Isolation::Always),
        "release_at_holding" => Some(Isolation::ReleaseAtHolding),
        "never" => Some(Isolation::Never),
        _ => None,
    })
}

fn operation(field: Field) -> Result<(&'static str, Operation)> {
    type Read = fn(&mut Fields) -> Result<Operation>;
    const KNOWN: [(&str, Read); 10] = [
        ("germinate", germinate),
        ("validation", |f| Ok(Operation::Validation { accuracy: f.required("accuracy")?.any_number()? })),
        ("gradients", gradients),
        ("counterfactual", |f| {
            Ok(Operation::Counterfactual { contribution: f.required("contribution")?.any_number()? })
        }),
        ("health", |f| {
            let healthy = f.required("healthy")?.boolean()?;
            Ok(Operation::Health { healthy, cause: "reported".to_owned() })
        }),
        ("step_epoch", |_| Ok(Operation::StepEpoch)),
        ("advance", |f| Ok(Operation::Advance { target: f.optional("target").map_or(Ok(None), stage)? })),
        ("prune", |f| Ok(Operation::Prune { reason: f.required("reason")?.text()? })),
        ("schedule_prune", |f| {
            let (steps, reason) = (f.required("steps")?.count()?, f.required("reason")?.text()?);
            Ok(Operation::SchedulePrune { steps, reason, curve: None })
        }),
        ("set_alpha_target", |f| {
            let (target, steps) = (f.required("target")?.any_number()?, f.required("steps")?.count()?);
            Ok(Operation::SetAlphaTarget {
                target,
                steps,
                curve: f.optional("curve").map_or(Ok(None), curve)?,
            })
        }),
    ];
    let mut fields = field.object()?;
    let names = KNOWN.map(|(name, _)| name);
    let find = |name: &str| KNOWN.into_iter().find(|(known, _)| *known == name);
    let (name, read) = fields.required("op")?.one_of("operation", &names, find)?;
    let operation = read(&mut fields)?;
    fields.finish()?;
    Ok((name, operation))
}

fn germinate(fields: &mut Fields) -> Result<Operation> {
    let seed_id = fields.required("seed_id")?.text()?;
    let blueprint_id = fields.required("blueprint_id")?.text()?;
    let plan = blend(fields.required("blend")?)?;
    Ok(Operation::Germinate(Box::new(Germination {
        seed_params: fields.required("seed_params")?.count_as_u64()?,
        host_params: fields.required("host_params")?.count_as_u64()?,
        ..Germination::new(seed_id, blueprint_id, plan)
    })))
}

fn blend(field: Field) -> Result<BlendPlan> {
    let mut fields = field.object()?;
    let mut plan = BlendPlan::new(fields.required("id")?.text()?);
    fields.set("tempo", &mut plan.alpha.tempo, Field::count)?;
    fields.set("target", &mut plan.alpha.target, Field::any_number)?;
    fields.set("curve", &mut plan.alpha.curve, curve)?;
    fields.set("steepness", &mut plan.alpha.steepness, Field::any_number)?;
    fields.finish()?;
    // In a script an id without a plugin means the blend that ships with Kasmina. A blend of another plugin
    // is named `plugin::id`, and the script sets its curve as `curve`.
    plan.alpha.curve = plan.alpha.curve.or_else(|| Curve::by_id(&plan.id));
    Ok(plan)
}

fn gradients(fields: &mut Fields) -> Result<Operation> {
    let mut capture = GradientCapture::new(
        fields.required("seed_norm")?.any_number()?,
        fields.required("host_norm")?.any_number()?,
    );
    fields.set("violation", &mut capture.violation, Field::boolean)?;
    Ok(Operation::Gradients(capture))
}

fn stage(field: Field) -> Result<Option<Stage>> {
    field.one_of("stage", &Stage::ALL.map(Stage::as_str), Stage::by_name).map(Some)
}

/// Reads a curve: one of four names, or an object with a table.
fn curve(field: Field) -> Result<Option<Curve>> {
    if field.is_object() {
        let mut fields = field.object()?;
        let table = fields.required("table")?.array()?;
        fields.finish()?;
        let values = table.into_iter().map(Field::any_number).collect::<Result<Vec<f64>>>()?;
        return Ok(Some(Curve::Table(values)));
    }
    let known = ["linear", "cosine", "sigmoid", "tanh"];
    field.one_of("curve", &known, Curve::by_id).map(Some)
}
