//! The parent process: selects the checks for each entry, orders them, distributes them to child processes,
//! and collects the rows of the report.

use crate::check::{Check, LISTING, STDOUT, checks, find};
use crate::job::{Answer, Job};
use crate::report::{Report, Row, Verdict};
use kasmina_plugin_api::record::EntryRecord;
use kasmina_registry::child::{self, Limits, Outcome, Program};
use kasmina_registry::{Judged, Manifest, Refusal, quoted};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

/// Maximum number of characters that are quoted from the output of a plugin.
const QUOTED: usize = 200;

/// Options of a run of the checks.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Options {
    /// Seed of all random numbers.
    pub seed: u64,
    /// Names of the checks to run; all if empty.
    pub only: Vec<String>,
    /// Entries to check, by id (`conv_light`) or by kind and id (`blueprint conv_light`); all if empty.
    pub entries: Vec<String>,
    /// Configurations as JSON, keyed by entry as in `entries`. Other entries are built with their default.
    pub configs: BTreeMap<String, String>,
    /// Limits on time and memory for one check of one entry.
    pub limits: Limits,
    /// Plugin files to load first: the interpreter of a declared blueprint.
    pub with: Vec<Judged>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            seed: 1,
            only: Vec::new(),
            entries: Vec::new(),
            configs: BTreeMap::new(),
            limits: Limits::default(),
            with: Vec::new(),
        }
    }
}

/// Why the checks of a file could not be run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckError {
    /// The file is not a plugin.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// There is no such check.
    #[error("no check is named `{name}`; there are {}", known.join(", "))]
    UnknownCheck {
        /// The unknown name.
        name: String,
        /// Names of all checks.
        known: Vec<String>,
    },
    /// The plugin has no such entry.
    #[error("the plugin has no entry `{id}`; it has {}", known.join(", "))]
    UnknownEntry {
        /// The unknown name.
        id: String,
        /// Kinds and ids of the plugin's entries.
        known: Vec<String>,
    },
    /// The child process could not be started.
    #[error("the child process of the checks cannot be started: {0}")]
    Child(#[from] std::io::Error),
}

/// Runs the checks on a plugin file. `program` must pass its jobs to [`answer`](crate::answer).
///
/// # Errors
/// If the file is not a plugin, a name in `options` is unknown, or no child process can be started. A failed
/// check is a row of the report and not an error.
pub fn check_file(path: &Path, program: &Program, options: &Options) -> Result<Report, CheckError> {
    check_manifest(&Manifest::read(path)?, program, options, &mut |_| {})
}

/// Runs the checks on the plugin file of a manifest.
///
/// The checks use exactly the bytes that were read for the manifest, also if the file is replaced meanwhile.
/// `on_row` receives each row when it is known, which is not the order of the report. The rows of the check
/// `stdout` come last, because they depend on the output during all other checks.
///
/// # Errors
/// If a name in `options` is unknown, or no child process can be started.
pub fn check_manifest(
    manifest: &Manifest,
    program: &Program,
    options: &Options,
    on_row: &mut dyn FnMut(&Row),
) -> Result<Report, CheckError> {
    let wanted = selected_checks(&options.only)?;
    let entries = selected_entries(&manifest.entries, &options.entries)?;
    selected_entries(&manifest.entries, &options.configs.keys().cloned().collect::<Vec<_>>())?;
    let mut run = Run {
        path: &manifest.path,
        judged: judged(manifest),
        program,
        options,
        on_row,
        rows: BTreeMap::new(),
        printed: BTreeMap::new(),
    };

    // The check of the whole file goes first. The others run in three waves, by the last of their
    // prerequisites.
    if wanted.iter().any(|check| check.name == LISTING) {
        run.run_checks(&[(None, find(LISTING))])?;
    }
    let loads = run.rows.values().all(|row| row.result == Verdict::Pass);
    for wave in ["", "build", "forward"] {
        let mut together = Vec::new();
        for entry in entries.iter().copied() {
            for check in wanted
                .iter()
                .copied()
                .filter(|check| check.applies_to_record(entry) && last_prerequisite(check) == wave)
            {
                let key = (Some(entry), Some(check));
                match check.prerequisites.iter().find(|name| run.prerequisite_failed(entry, name)) {
                    _ if !loads => run.skip(entry, check, "the plugin does not load"),
                    Some(name) => run.skip(entry, check, &format!("`{name}` did not pass")),
                    None if check.own_process => run.run_checks(&[key])?,
                    None => together.push(key),
                }
            }
        }
        run.run_checks(&together)?;
    }
    let rows = run.into_rows(&entries);
    Ok(Report {
        file: manifest.path.clone(),
        plugin: manifest.plugin.name.clone(),
        version: manifest.plugin.version.clone(),
        sha256: manifest.sha256.clone(),
        seed: options.seed,
        rows,
    })
}

impl Check {
    fn applies_to_record(&self, entry: &EntryRecord) -> bool {
        kasmina_plugin_api::Kind::parse(&entry.kind)
            .is_some_and(|kind| self.applies_to(kind, &entry.capabilities))
    }
}

/// Returns the last prerequisite of a check, or an empty string. Checks of one wave run together.
fn last_prerequisite(check: &Check) -> &'static str {
    check.prerequisites.last().copied().unwrap_or_default()
}

fn selected_checks(only: &[String]) -> Result<Vec<&'static Check>, CheckError> {
    if let Some(name) = only.iter().find(|name| find(name).is_none()) {
        let known = checks().iter().map(|check| check.name.to_owned()).collect();
        return Err(CheckError::UnknownCheck { name: name.clone(), known });
    }
    Ok(checks().iter().filter(|check| only.is_empty() || only.iter().any(|n| n == check.name)).collect())
}

fn selected_entries<'a>(
    entries: &'a [EntryRecord],
    ids: &[String],
) -> Result<Vec<&'a EntryRecord>, CheckError> {
    if let Some(id) = ids.iter().find(|id| !entries.iter().any(|entry| matches(id, entry))) {
        let known = entries.iter().map(|entry| title(Some(entry))).collect();
        return Err(CheckError::UnknownEntry { id: id.clone(), known });
    }
    Ok(entries.iter().filter(|entry| ids.is_empty() || ids.iter().any(|id| matches(id, entry))).collect())
}

/// Whether a name in the options refers to an entry.
fn matches(id: &str, entry: &EntryRecord) -> bool {
    entry.id == id || title(Some(entry)) == id
}

/// Returns the name of an entry in the report; `plugin` for the whole file.
fn title(entry: Option<&EntryRecord>) -> String {
    entry.map_or_else(|| "plugin".to_owned(), |entry| format!("{} {}", entry.kind, entry.id))
}

/// Returns the file of a manifest with an absolute path, for child processes in other working directories.
fn judged(manifest: &Manifest) -> Judged {
    let path = manifest.path.canonicalize().unwrap_or_else(|_| manifest.path.clone());
    Judged { path, sha256: manifest.sha256.clone() }
}

/// A check to run, and its entry; `None` for the whole file.
type Requested<'a> = (Option<&'a EntryRecord>, Option<&'static Check>);

struct Run<'a> {
    path: &'a Path,
    judged: Judged,
    program: &'a Program,
    options: &'a Options,
    on_row: &'a mut dyn FnMut(&Row),
    /// The rows that are known, by entry and check.
    rows: BTreeMap<(String, &'static str), Row>,
    /// The first check in which an entry printed something, and what it printed.
    printed: BTreeMap<String, (&'static str, String)>,
}

impl Run<'_> {
    fn prerequisite_failed(&self, entry: &EntryRecord, check: &'static str) -> bool {
        let known = self.rows.get(&(title(Some(entry)), check));
        known.is_some_and(|row| row.result != Verdict::Pass)
    }

    fn run_checks(&mut self, requested: &[Requested<'_>]) -> Result<(), CheckError> {
        let checks: Vec<(String, &'static Check)> =
            requested.iter().filter_map(|(entry, check)| Some((title(*entry), (*check)?))).collect();
        let jobs: Vec<_> = requested
            .iter()
            .filter_map(|(entry, check)| {
                let config = entry.and_then(|e| self.options.configs.iter().find(|(id, _)| matches(id, e)));
                let config = config.map(|(_, config)| config.clone()).unwrap_or_default();
                let entry = entry.map(|entry| (entry.kind.clone(), entry.id.clone()));
                let name = (*check)?.name.to_owned();
                Some(
                    Job {
                        file: self.judged.clone(),
                        with: self.options.with.clone(),
                        entry,
                        name,
                        seed: self.options.seed,
                        config,
                    }
                    .to_value(),
                )
            })
            .collect();
        let mut started = Instant::now();
        child::run(self.program, &jobs, self.options.limits, &mut |index, outcome| {
            let (Some(outcome), Some((entry, check))) = (outcome, checks.get(index)) else {
                started = Instant::now();
                return;
            };
            let seconds = started.elapsed().as_secs_f64();
            let (result, detail) = verdict_of(entry, check, outcome, &mut self.printed);
            let row = row(self.path, self.options, entry, check, (result, detail, seconds));
            if check.name != STDOUT {
                (self.on_row)(&row);
            }
            self.rows.insert((entry.clone(), check.name), row);
        })?;
        Ok(())
    }

    fn skip(&mut self, entry: &EntryRecord, check: &'static Check, why: &str) {
        let entry = title(Some(entry));
        let row = row(self.path, self.options, &entry, check, (Verdict::Skipped, why.to_owned(), 0.0));
        if check.name != STDOUT {
            (self.on_row)(&row);
        }
        self.rows.insert((entry, check.name), row);
    }

    /// Returns the rows in the order of entries and checks. Completes the rows of `stdout`, because only now
    /// the output during all checks is known.
    fn into_rows(mut self, entries: &[&EntryRecord]) -> Vec<Row> {
        let mut rows = Vec::new();
        for entry in std::iter::once(title(None)).chain(entries.iter().map(|entry| title(Some(entry)))) {
            for check in checks() {
                let Some(mut row) = self.rows.remove(&(entry.clone(), check.name)) else { continue };
                if check.name == STDOUT {
                    if let Some((during, text)) = self.printed.get(&entry) {
                        row.result = Verdict::Fail;
                        row.detail = format!("in `{during}` it printed {text:?}");
                    }
                    (self.on_row)(&row);
                }
                rows.push(row);
            }
        }
        rows
    }
}

fn verdict_of(
    entry: &str,
    check: &'static Check,
    outcome: Outcome,
    printed: &mut BTreeMap<String, (&'static str, String)>,
) -> (Verdict, String) {
    match outcome {
        Outcome::Answered { answer, printed: text } => {
            if !text.is_empty() {
                printed.entry(entry.to_owned()).or_insert_with(|| (check.name, first_characters(&text)));
            }
            match serde_json::from_value::<Answer>(answer) {
                Ok(answer) => (answer.verdict, answer.detail),
                Err(error) => {
                    (Verdict::Fail, format!("the answer of the child process cannot be read: {error}"))
                }
            }
        }
        Outcome::Crashed { how, said } => {
            let said = if said.is_empty() {
                String::new()
            } else {
                format!("; it said: {}", last_characters(&said))
            };
            (Verdict::Crashed, format!("{how}{said}"))
        }
        Outcome::TimedOut { after } => {
            (Verdict::TimedOut, format!("no answer after {} s", after.as_secs_f64()))
        }
    }
}

fn row(
    path: &Path,
    options: &Options,
    entry: &str,
    check: &Check,
    (result, detail, seconds): (Verdict, String, f64),
) -> Row {
    let file = quoted(path);
    let reproduce = format!("kasmina plugins check {file} --only {} --seed {}", check.name, options.seed);
    Row { entry: entry.to_owned(), check: check.name.to_owned(), result, detail, seconds, reproduce }
}

fn in_one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn first_characters(text: &str) -> String {
    let line = in_one_line(text);
    if line.chars().count() <= QUOTED {
        line
    } else {
        line.chars().take(QUOTED).chain("...".chars()).collect()
    }
}

fn last_characters(text: &str) -> String {
    let line = in_one_line(text);
    line.chars().skip(line.chars().count().saturating_sub(QUOTED)).collect()
}
