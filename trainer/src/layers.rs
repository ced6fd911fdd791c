//! Merging the settings of a run from their sources: the defaults of all runs, the preset of the task, a TOML
//! file, and the command line.

use crate::config::{RunConfig, bare_id};
use crate::error::TrainError;
use crate::task;
use kasmina_files::{limit, read_text};
use std::path::Path;
use toml::{Table, Value};

/// Sources of settings besides the defaults. The command-line fields win over the file.
#[derive(Debug, Clone, Copy, Default)]
pub struct Layers<'a> {
    /// Path of a TOML file. Settings that it does not contain come from the task's preset.
    pub file: Option<&'a Path>,
    /// Id of the task from the command line.
    pub task: Option<&'a str>,
    /// Id of the host from the command line. If it differs from the file's, the file's host settings are
    /// dropped.
    pub host: Option<&'a str>,
    /// Id of the blueprint from the command line; a different one drops the file's blueprint settings.
    pub blueprint: Option<&'a str>,
    /// Id of the blend from the command line; a different one drops the file's blend settings.
    pub blend: Option<&'a str>,
}

impl RunConfig {
    /// Returns the default configuration of a task.
    ///
    /// # Errors
    /// If there is no such task.
    pub fn for_task(task: &str) -> Result<Self, TrainError> {
        Self::layered(Layers { task: Some(task), ..Layers::default() })
    }

    /// Reads a TOML file over the defaults of its task.
    ///
    /// # Errors
    /// If the file cannot be read, or has an unknown setting or an unknown task.
    pub fn from_file(path: &Path) -> Result<Self, TrainError> {
        Self::layered(Layers { file: Some(path), ..Layers::default() })
    }

    /// Merges defaults, task preset, file and command line, each over the one before.
    ///
    /// # Errors
    /// If the file cannot be read or has an unknown setting, or there is no such task.
    pub fn layered(layers: Layers<'_>) -> Result<Self, TrainError> {
        let file = layers.file.map_or_else(|| Ok(Table::new()), read)?;
        Self::over_task_defaults(&file, layers)
    }

    /// Merges settings over the defaults of their task. The caller has checked `file` as a [`RunConfig`]
    /// before, because only the parser of the text knows the line of a mistake.
    pub(crate) fn over_task_defaults(file: &Table, layers: Layers<'_>) -> Result<Self, TrainError> {
        let base = Self::base();
        let in_file = file.get("task").and_then(Value::as_str).map(str::to_owned);
        let task = layers.task.or(in_file.as_deref()).unwrap_or(&base.task);
        task::check(task)?;
        let failed = |e: &dyn std::fmt::Display| TrainError::Setting {
            field: "the settings".to_owned(),
            reason: format!("they cannot be merged: {e}"),
        };
        let mut settings = Table::try_from(&base).map_err(|e| failed(&e))?;
        merge(&mut settings, &task::preset(task));
        merge(&mut settings, file);
        merge(&mut settings, &from_command_line(task, &layers));
        settings.try_into().map_err(|e: toml::de::Error| failed(&e))
    }
}

/// Reads the settings of a TOML file.
fn read(path: &Path) -> Result<Table, TrainError> {
    let wrong = |reason: String| TrainError::Config { path: path.to_owned(), reason };
    let text = read_text(path, limit::CONFIG).map_err(|e| wrong(e.to_string()))?;
    // Parsed as a configuration first: only an error of this parse names the line.
    let invalid = |e: toml::de::Error| wrong(e.to_string().trim_end().to_owned());
    toml::from_str::<RunConfig>(&text).map_err(invalid)?;
    toml::from_str(&text).map_err(invalid)
}

fn from_command_line(task: &str, layers: &Layers<'_>) -> Table {
    let mut table = Table::from_iter([("task".to_owned(), task.into())]);
    for (key, id) in [("blueprint", layers.blueprint), ("blend", layers.blend)] {
        table.extend(id.map(|id| (key.to_owned(), id.into())));
    }
    let host = layers.host.map(|id| Table::from_iter([("id".to_owned(), id.into())]));
    table.extend(host.map(|host| ("host".to_owned(), host.into())));
    table
}

/// Settings that configure the entry that another setting names: `(name, settings)`.
const ENTRY_SETTINGS: [(&str, &str); 3] =
    [("id", "config"), ("blueprint", "blueprint_config"), ("blend", "blend_config")];

/// Merges the table `above` into `below`, recursively. Where `above` names another host, blueprint or blend,
/// the settings of the one in `below` are dropped.
fn merge(below: &mut Table, above: &Table) {
    for (name, settings) in ENTRY_SETTINGS {
        let id_in = |table: &Table| table.get(name).and_then(Value::as_str).map(|id| bare_id(id).to_owned());
        if id_in(above).is_some_and(|new| id_in(below).is_some_and(|old| old != new)) {
            below.insert(settings.to_owned(), Table::new().into());
        }
    }
    for (key, value) in above {
        match (below.get_mut(key), value) {
            (Some(Value::Table(below)), Value::Table(above)) => merge(below, above),
            (_, value) => {
                below.insert(key.clone(), value.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config_of(text: &str, more: Layers<'_>) -> RunConfig {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        RunConfig::layered(Layers { file: Some(file.path()), ..more }).unwrap()
    }

    #[test]
    fn a_file_overrides_its_task_and_the_command_line_overrides_both() {
        assert_eq!(RunConfig::for_task("digits").unwrap(), RunConfig::default());
        let config =
            config_of("task = \"addition\"\nepochs = 3\n[host.config]\nn_head = 4\n", Layers::default());
        assert_eq!(
            (config.epochs, config.host.id.as_str(), config.blueprint.as_str()),
            (3, "transformer", "attention")
        );
        assert_eq!((&config.host.config["n_head"], &config.host.config["n_layer"]), (&4.into(), &1.into()));
        let typed = Layers { task: Some("digits"), ..Layers::default() };
        let config = config_of("task = \"addition\"\nepochs = 3\n", typed);
        assert_eq!((config.task.as_str(), config.host.id.as_str(), config.epochs), ("digits", "cnn", 3));
    }

    #[test]
    fn another_host_or_blueprint_drops_the_settings_of_the_first() {
        let text = "blueprint = \"norm\"\n[host.config]\nn_blocks = 4\n[blueprint_config]\na = 1\n";
        let layers = Layers { host: Some("resnet"), blueprint: Some("attention"), ..Layers::default() };
        let config = config_of(text, layers);
        assert!(config.host.config.is_empty() && config.blueprint_config.is_empty());
        let config = config_of(text, Layers { host: Some("cnn"), ..Layers::default() });
        assert_eq!(
            (&config.host.config["n_blocks"], &config.host.config["base_channels"]),
            (&4.into(), &3.into())
        );
        assert_eq!(config.blueprint_config["a"], 1);
    }

    #[test]
    fn an_unknown_setting_is_reported_with_its_line_and_an_unknown_task_by_name() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "task = \"digits\"\n[optimizer]\nbatch_sise = 3\n").unwrap();
        let text = RunConfig::from_file(file.path()).unwrap_err().to_string();
        assert!(text.contains("line 3") && text.contains("batch_sise"), "{text}");
        std::fs::write(file.path(), "task = \"digit\"\n").unwrap();
        let text = RunConfig::from_file(file.path()).unwrap_err().to_string();
        assert!(text.contains("no task `digit`; there are digits, cifar10"), "{text}");
    }
}
