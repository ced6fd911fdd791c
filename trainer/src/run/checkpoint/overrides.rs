//! Changes to the settings of a resumed run: those in its `config.toml`, and those given with `--override`.

use crate::config::RunConfig;
use crate::error::TrainError;
use std::collections::BTreeMap;
use toml::{Table, Value};

/// Settings that do not affect the results, so that they may be edited in `config.toml` before resuming.
const HARMLESS: [&str; 5] =
    ["epochs", "checkpoint.", "plugin_path", "plugins.call_limit_seconds", "ranks.limit_seconds"];

/// Values of settings, by their paths.
pub(super) type Overrides = BTreeMap<String, Value>;

/// Old and new value of a setting; `None` if it is not set.
pub(super) type Difference = (Option<Value>, Option<Value>);

/// Parses settings of the form `key=value`. A value that is not valid TOML is taken as a string.
pub(super) fn parse(given: &[String]) -> Result<Overrides, TrainError> {
    let one = |text: &String| {
        let (key, value) = text.split_once('=').ok_or_else(|| TrainError::Setting {
            field: "override".to_owned(),
            reason: format!("`{text}` is not of the form key=value, such as optimizer.batch_size=32"),
        })?;
        let parsed = format!("value = {value}").parse::<Table>().ok();
        let value = parsed.and_then(|mut table| table.remove("value")).unwrap_or_else(|| value.into());
        Ok((key.trim().to_owned(), value))
    };
    given.iter().map(one).collect()
}

/// Returns a configuration with some settings overridden.
pub(super) fn apply(config: &RunConfig, overrides: &Overrides) -> Result<RunConfig, TrainError> {
    let wrong = |field: &str, reason: String| TrainError::Setting { field: field.to_owned(), reason };
    let mut table = table_of(config)?;
    for (key, value) in overrides {
        let mut place = &mut table;
        let mut path: Vec<&str> = key.split('.').collect();
        let last = path.pop().unwrap_or_default();
        for part in path {
            let inner = place.entry(part).or_insert_with(|| Table::new().into());
            place = inner
                .as_table_mut()
                .ok_or_else(|| wrong(key, format!("`{part}` is a single setting, not a section")))?;
        }
        place.insert(last.to_owned(), value.clone());
    }
    let keys: Vec<&str> = overrides.keys().map(String::as_str).collect();
    let changed: RunConfig =
        table.try_into().map_err(|e: toml::de::Error| wrong(&keys.join(", "), e.message().to_owned()))?;
    if changed.host.frozen != config.host.frozen {
        let reason = "a resumed run cannot change it; begin a new run with --init-from";
        return Err(wrong("host.frozen", reason.to_owned()));
    }
    Ok(changed)
}

/// Returns the settings that differ between two configurations, by path.
pub(super) fn differences(
    then: &RunConfig,
    now: &RunConfig,
) -> Result<BTreeMap<String, Difference>, TrainError> {
    let (mut before, mut after) = (BTreeMap::new(), BTreeMap::new());
    flatten("", &table_of(then)?, &mut before);
    flatten("", &table_of(now)?, &mut after);
    let keys = before.keys().chain(after.keys()).cloned().collect::<std::collections::BTreeSet<String>>();
    let pairs = keys.into_iter().map(|key| {
        let pair = (before.get(&key).cloned(), after.get(&key).cloned());
        (key, pair)
    });
    Ok(pairs.filter(|(_, (then, now))| then != now).collect())
}

/// Whether a setting does not affect the results.
pub(super) fn is_harmless(key: &str) -> bool {
    HARMLESS.iter().any(|known| key == *known || known.ends_with('.') && key.starts_with(known))
}

/// Returns a difference as text for messages.
pub(super) fn describe(key: &str, (then, now): &Difference) -> String {
    let shown =
        |value: &Option<Value>| value.as_ref().map_or_else(|| "unset".to_owned(), ToString::to_string);
    format!("{key} was {}, it is {}", shown(then), shown(now))
}

fn table_of(config: &RunConfig) -> Result<Table, TrainError> {
    Table::try_from(config).map_err(|e| TrainError::Setting {
        field: "the settings".to_owned(),
        reason: format!("they cannot be written: {e}"),
    })
}

/// Adds the settings of a table to `into`, by their paths after `prefix`.
fn flatten(prefix: &str, table: &Table, into: &mut BTreeMap<String, Value>) {
    for (key, value) in table {
        let key = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
        match value {
            Value::Table(inner) => flatten(&key, inner, into),
            value => drop(into.insert(key, value.clone())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_is_overridden_by_its_path_and_a_wrong_one_is_named() {
        let config = RunConfig::default();
        let given = ["optimizer.batch_size=32", "device=cpu"].map(str::to_owned);
        let now = apply(&config, &parse(&given).unwrap()).unwrap();
        assert_eq!((now.optimizer.batch_size, now.device.as_str()), (32, "cpu"));
        let described: Vec<String> =
            differences(&config, &now).unwrap().iter().map(|(key, pair)| describe(key, pair)).collect();
        assert_eq!(
            described,
            ["device was \"auto\", it is \"cpu\"", "optimizer.batch_size was 64, it is 32"]
        );
        let wrong = parse(&["optimizer.batch_sise=32".to_owned()]).unwrap();
        let error = apply(&config, &wrong).unwrap_err().to_string();
        assert!(error.contains("batch_sise"), "{error}");
        assert!(parse(&["batch".to_owned()]).is_err());
        assert!(is_harmless("checkpoint.keep") && !is_harmless("checkpoints"));
    }
}
