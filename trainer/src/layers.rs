//! Where the settings of a run come from: what runs are, what the task makes of it, a file, and what was
//! typed.

use crate::config::{RunConfig, short};
use crate::error::TrainError;
use crate::task;
use kasmina_files::{limit, read_text};
use std::path::Path;
use toml::{Table, Value};

/// Settings from outside; each wins over those before it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Layers<'a> {
    /// A TOML file; what it does not say is the task's.
    pub file: Option<&'a Path>,
    /// The task, whatever the file says.
    pub task: Option<&'a str>,
    /// The host, whatever the file says: with settings of its own, if it is another.
    pub host: Option<&'a str>,
    /// The blueprint, in the same way.
    pub blueprint: Option<&'a str>,
    /// The blend, in the same way.
    pub blend: Option<&'a str>,
}

impl RunConfig {
    /// A run of a task, as it is by default.
    ///
    /// # Errors
    /// If there is no such task.
    pub fn for_task(task: &str) -> Result<Self, TrainError> {
        Self::layered(Layers { task: Some(task), ..Layers::default() })
    }

    /// A TOML file, over what its task is by default.
    ///
    /// # Errors
    /// If it cannot be read, or says something unknown.
    pub fn from_file(path: &Path) -> Result<Self, TrainError> {
        Self::layered(Layers { file: Some(path), ..Layers::default() })
    }

    /// The settings of a run, layer by layer.
    ///
    /// # Errors
    /// If the file cannot be read or says something unknown, or there is no such task.
    pub fn layered(layers: Layers<'_>) -> Result<Self, TrainError> {
        let file = layers.file.map_or_else(|| Ok(Table::new()), read)?;
        Self::over_task(&file, layers)
    }

    /// Settings over what their task is by default. They are taken as read by somebody who could say what is
    /// wrong in which line.
    pub(crate) fn over_task(file: &Table, layers: Layers<'_>) -> Result<Self, TrainError> {
        let plain = Self::plain();
        let said = file.get("task").and_then(Value::as_str).map(str::to_owned);
        let task = layers.task.or(said.as_deref()).unwrap_or(&plain.task);
        task::check(task)?;
        let written = |e: &dyn std::fmt::Display| TrainError::Setting {
            field: "the settings".to_owned(),
            reason: format!("they cannot be put together: {e}"),
        };
        let mut settings = Table::try_from(&plain).map_err(|e| written(&e))?;
        lay(&mut settings, &task::preset(task));
        lay(&mut settings, file);
        lay(&mut settings, &typed(task, &layers));
        settings.try_into().map_err(|e: toml::de::Error| written(&e))
    }
}

/// Reads the settings of a TOML file.
fn read(path: &Path) -> Result<Table, TrainError> {
    let wrong = |reason: String| TrainError::Config { path: path.to_owned(), reason };
    let text = read_text(path, limit::CONFIG).map_err(|e| wrong(e.to_string()))?;
    // As a whole first: only here it is known in which line something is wrong.
    let said = |e: toml::de::Error| wrong(e.to_string().trim_end().to_owned());
    toml::from_str::<RunConfig>(&text).map_err(said)?;
    toml::from_str(&text).map_err(said)
}

fn typed(task: &str, layers: &Layers<'_>) -> Table {
    let mut table = Table::from_iter([("task".to_owned(), task.into())]);
    for (key, id) in [("blueprint", layers.blueprint), ("blend", layers.blend)] {
        table.extend(id.map(|id| (key.to_owned(), id.into())));
    }
    let host = layers.host.map(|id| Table::from_iter([("id".to_owned(), id.into())]));
    table.extend(host.map(|host| ("host".to_owned(), host.into())));
    table
}

/// Settings that belong to what another setting names: `(name, settings)`.
const OWNED: [(&str, &str); 3] =
    [("id", "config"), ("blueprint", "blueprint_config"), ("blend", "blend_config")];

/// Lays one table over another. Whoever names another host, blueprint or blend has no use for the settings of
/// the one before.
fn lay(below: &mut Table, above: &Table) {
    for (name, settings) in OWNED {
        let of = |table: &Table| table.get(name).and_then(Value::as_str).map(|id| short(id).to_owned());
        if of(above).is_some_and(|new| of(below).is_some_and(|old| old != new)) {
            below.insert(settings.to_owned(), Table::new().into());
        }
    }
    for (key, value) in above {
        match (below.get_mut(key), value) {
            (Some(Value::Table(below)), Value::Table(above)) => lay(below, above),
            (_, value) => {
                below.insert(key.clone(), value.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str, more: Layers<'_>) -> RunConfig {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        RunConfig::layered(Layers { file: Some(file.path()), ..more }).unwrap()
    }

    #[test]
    fn a_file_lies_over_its_task_and_what_is_typed_over_both() {
        assert_eq!(RunConfig::for_task("digits").unwrap(), RunConfig::default());
        let config = of("task = \"addition\"\nepochs = 3\n[host.config]\nn_head = 4\n", Layers::default());
        assert_eq!(
            (config.epochs, config.host.id.as_str(), config.blueprint.as_str()),
            (3, "transformer", "attention")
        );
        assert_eq!((&config.host.config["n_head"], &config.host.config["n_layer"]), (&4.into(), &1.into()));
        let typed = Layers { task: Some("digits"), ..Layers::default() };
        let config = of("task = \"addition\"\nepochs = 3\n", typed);
        assert_eq!((config.task.as_str(), config.host.id.as_str(), config.epochs), ("digits", "cnn", 3));
    }

    #[test]
    fn another_host_or_blueprint_begins_with_its_own_settings() {
        let text = "blueprint = \"norm\"\n[host.config]\nn_blocks = 4\n[blueprint_config]\na = 1\n";
        let config =
            of(text, Layers { host: Some("resnet"), blueprint: Some("attention"), ..Layers::default() });
        assert!(config.host.config.is_empty() && config.blueprint_config.is_empty());
        let config = of(text, Layers { host: Some("cnn"), ..Layers::default() });
        assert_eq!(
            (&config.host.config["n_blocks"], &config.host.config["base_channels"]),
            (&4.into(), &3.into())
        );
        assert_eq!(config.blueprint_config["a"], 1);
    }

    #[test]
    fn what_is_wrong_says_in_which_line() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "task = \"digits\"\n[optimizer]\nbatch_sise = 3\n").unwrap();
        let text = RunConfig::from_file(file.path()).unwrap_err().to_string();
        assert!(text.contains("line 3") && text.contains("batch_sise"), "{text}");
        std::fs::write(file.path(), "task = \"digit\"\n").unwrap();
        let text = RunConfig::from_file(file.path()).unwrap_err().to_string();
        assert!(text.contains("no task `digit`; there are digits, cifar10"), "{text}");
    }
}
