//! Checks of configurations and their schemas.

use crate::failure::{Failure, Outcome, broken};
use crate::instance::Instance;
use crate::schema::{violation, well_formed};
use crate::subject::Subject;
use kasmina_plugin_api::{ErrorKind, Kind};
use kasmina_registry::RegistryError;
use serde_json::{Map, Value, json};

/// Compares the schema with the code: both must agree on `{}`, and the defaults in the schema must be valid
/// by the schema and accepted by the code. The actual default values cannot be read across the plugin
/// interface.
pub(crate) fn schema(subject: &Subject) -> Outcome {
    let schema = subject.entry.schema();
    if !schema.is_object() {
        return broken(format!("the schema is {schema}, expected a JSON object"));
    }
    well_formed(schema).map_err(Failure::Broken)?;
    subject.entry.check_config("")?;

    let empty = violation(schema, schema, &json!({}));
    match (subject.entry.check_config("{}"), &empty) {
        (Ok(()), Some(why)) => return broken(format!("the code accepts {{}}, the schema does not: {why}")),
        (Err(error), None) => return broken(format!("the schema accepts {{}}, the code does not: {error}")),
        _ => {}
    }
    let properties = properties(schema);
    let mut defaults = Map::new();
    for (name, property) in properties {
        let Some(default) = property.get("default") else { continue };
        if let Some(why) = violation(schema, property, default) {
            return broken(format!("the default of `{name}` is not valid by the schema: {why}"));
        }
        defaults.insert(name.clone(), default.clone());
    }
    if empty.is_none() {
        let defaults = Value::Object(defaults);
        if let Err(error) = subject.entry.check_config(&defaults.to_string()) {
            return broken(format!("the code refuses the defaults of its schema: {error}"));
        }
    }
    Ok(None)
}

fn properties(schema: &Value) -> impl Iterator<Item = (&String, &Value)> {
    schema.get("properties").and_then(Value::as_object).into_iter().flatten()
}

pub(crate) fn invalid(subject: &Subject) -> Outcome {
    let schema = subject.entry.schema();
    for text in ["{", "not json", "\"text\"", "3", "[[[]]]", "{\"kasmina_no_such_setting\": 1}"] {
        check_refused(subject, text)?;
    }
    for (name, property) in properties(schema) {
        for wrong in [json!({ "kasmina_no_such_setting": 1 }), json!("kasmina"), json!(-1.5), json!(null)] {
            let config = json!({ name: wrong }).to_string();
            if violation(schema, property, &wrong).is_some() {
                check_refused(subject, &config)?;
            } else {
                is_accepted(subject, &config)?;
            }
        }
        // A schema may lack ranges, so these values may be valid. Extreme values must not cause a panic.
        for odd in [json!(0), json!(-1), json!(1_i64 << 40), json!(1e300), json!(""), json!([])] {
            is_accepted(subject, &json!({ name: odd }).to_string())?;
        }
    }
    Ok(None)
}

/// Fails if a configuration is accepted that must be refused.
fn check_refused(subject: &Subject, config: &str) -> Result<(), Failure> {
    if !is_accepted(subject, config)? {
        return Ok(());
    }
    let schema = subject.entry.schema();
    let forbidden = serde_json::from_str(config).ok().and_then(|value| violation(schema, schema, &value));
    match forbidden {
        Some(why) => {
            broken(format!("it accepts the configuration {config}, which its schema forbids: {why}"))
        }
        None => broken(format!("it accepts the configuration {config}; use #[serde(deny_unknown_fields)]")),
    }
}

/// Whether a configuration is accepted, by reading it and by building with it. A panic is a failure.
fn is_accepted(subject: &Subject, config: &str) -> Result<bool, Failure> {
    let read = subject.entry.check_config(config);
    let built = build_with(subject, config);
    let accepted = read.is_ok() && built.is_ok();
    for (what, result) in [("reading", read), ("building with", built)] {
        if let Err(RegistryError::Build { error, .. }) = result
            && error.kind == ErrorKind::Panic
        {
            return broken(format!("{what} the configuration {config} panics: {}", error.message));
        }
    }
    Ok(accepted)
}

fn build_with(subject: &Subject, config: &str) -> Result<(), RegistryError> {
    use crate::place::Place;
    if subject.entry.kind() == Kind::Host {
        return subject.entry.make_host(tch::Device::Cpu, config).map(drop);
    }
    // The check `build` reports unknown topologies.
    let Ok(topologies) = subject.topologies() else { return Ok(()) };
    for topology in topologies {
        let Some(site) = Place::of(topology, 16).site else { continue };
        match subject.entry.kind() {
            Kind::Blueprint => subject.entry.make_seed(&site, config).map(Instance::Seed),
            _ => subject.entry.make_blend(&site, config).map(Instance::Blend),
        }?;
    }
    Ok(())
}
