//! The parent's side: which checks are asked of which entries, in which order and in which processes.

use crate::check::{Check, LISTING, STDOUT, checks, find};
use crate::job::{Job, Said};
use crate::report::{Report, Row, Verdict};
use kasmina_plugin_api::record::EntryRecord;
use kasmina_registry::child::{self, Limits, Outcome, Program};
use kasmina_registry::{Judged, Manifest, Refusal, quoted};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

/// How much of what was printed or said is quoted.
const QUOTED: usize = 200;

/// What to check, and how.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Options {
    /// What everything random comes from.
    pub seed: u64,
    /// The names of the checks; all if empty.
    pub only: Vec<String>,
    /// The entries, as `conv_light` or, where ids are not enough, as `blueprint conv_light`; all if empty.
    pub entries: Vec<String>,
    /// Configurations, as JSON, of entries that are not to be built with their default; by the names that
    /// `entries` takes.
    pub configs: BTreeMap<String, String>,
    /// What one check of one entry may take.
    pub limits: Limits,
    /// Plugin files that it needs: the interpreter of a declared blueprint.
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

/// Why a file could not be checked at all.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckError {
    /// The file is no plugin.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// There is no such check.
    #[error("no check is named `{name}`; there are {}", known.join(", "))]
    UnknownCheck {
        /// Name that was asked for.
        name: String,
        /// Names of the checks.
        known: Vec<String>,
    },
    /// The plugin has no such entry.
    #[error("the plugin has no entry `{id}`; it has {}", known.join(", "))]
    UnknownEntry {
        /// Id that was asked for.
        id: String,
        /// Ids of the plugin's entries.
        known: Vec<String>,
    },
    /// The child that checks could not be started.
    #[error("the checks need a process of their own, which cannot be started: {0}")]
    Child(#[from] std::io::Error),
}

/// Checks a plugin file. `program` must be one that hands its jobs to [`answer`](crate::answer).
///
/// # Errors
/// If the file is no plugin, a name is not known, or no child can be started. A broken promise is no error
/// but a row.
pub fn check_file(path: &Path, program: &Program, options: &Options) -> Result<Report, CheckError> {
    check_manifest(&Manifest::read(path)?, program, options, &mut |_| {})
}

/// Checks the plugin file of a manifest: exactly the bytes that were read for it, also if the file is
/// replaced meanwhile. `told` receives each row as soon as it is known, in the order of the work and not of
/// the report. The rows of `stdout` come last, since whatever any other check made the plugin print counts
/// there.
///
/// # Errors
/// If a name is not known, or no child can be started.
pub fn check_manifest(
    manifest: &Manifest,
    program: &Program,
    options: &Options,
    told: &mut dyn FnMut(&Row),
) -> Result<Report, CheckError> {
    let wanted = wanted(&options.only)?;
    let entries = chosen(&manifest.entries, &options.entries)?;
    chosen(&manifest.entries, &options.configs.keys().cloned().collect::<Vec<_>>())?;
    let mut run = Run {
        path: &manifest.path,
        judged: judged(manifest),
        program,
        options,
        told,
        asked: BTreeMap::new(),
        printed: BTreeMap::new(),
    };

    // Others are told apart by the process that they need and by what must be known before.
    if wanted.iter().any(|check| check.name == LISTING) {
        run.ask(&[(None, find(LISTING))])?;
    }
    let loads = run.asked.values().all(|row| row.result == Verdict::Pass);
    for wave in ["", "build", "forward"] {
        let mut together = Vec::new();
        for entry in entries.iter().copied() {
            for check in
                wanted.iter().copied().filter(|check| check.kinds_of(entry) && wave_of(check) == wave)
            {
                let key = (Some(entry), Some(check));
                match check.after.iter().find(|name| run.stands_in_the_way(entry, name)) {
                    _ if !loads => run.skip(entry, check, "the plugin does not load"),
                    Some(name) => run.skip(entry, check, &format!("`{name}` did not pass")),
                    None if check.fresh => run.ask(&[key])?,
                    None => together.push(key),
                }
            }
        }
        run.ask(&together)?;
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
    fn kinds_of(&self, entry: &EntryRecord) -> bool {
        kasmina_plugin_api::Kind::parse(&entry.kind)
            .is_some_and(|kind| self.applies_to(kind, &entry.capabilities))
    }
}

/// The last of what a check waits for; what others wait for goes first.
fn wave_of(check: &Check) -> &'static str {
    check.after.last().copied().unwrap_or_default()
}

fn wanted(only: &[String]) -> Result<Vec<&'static Check>, CheckError> {
    if let Some(name) = only.iter().find(|name| find(name).is_none()) {
        let known = checks().iter().map(|check| check.name.to_owned()).collect();
        return Err(CheckError::UnknownCheck { name: name.clone(), known });
    }
    Ok(checks().iter().filter(|check| only.is_empty() || only.iter().any(|n| n == check.name)).collect())
}

fn chosen<'a>(entries: &'a [EntryRecord], ids: &[String]) -> Result<Vec<&'a EntryRecord>, CheckError> {
    if let Some(id) = ids.iter().find(|id| !entries.iter().any(|entry| means(id, entry))) {
        let known = entries.iter().map(|entry| title(Some(entry))).collect();
        return Err(CheckError::UnknownEntry { id: id.clone(), known });
    }
    Ok(entries.iter().filter(|entry| ids.is_empty() || ids.iter().any(|id| means(id, entry))).collect())
}

/// Whether a name from outside means an entry.
fn means(id: &str, entry: &EntryRecord) -> bool {
    entry.id == id || title(Some(entry)) == id
}

/// An entry's name in the report.
fn title(entry: Option<&EntryRecord>) -> String {
    entry.map_or_else(|| "plugin".to_owned(), |entry| format!("{} {}", entry.kind, entry.id))
}

/// The file as its children find it, from whatever folder.
fn judged(manifest: &Manifest) -> Judged {
    let path = manifest.path.canonicalize().unwrap_or_else(|_| manifest.path.clone());
    Judged { path, sha256: manifest.sha256.clone() }
}

type Asked<'a> = (Option<&'a EntryRecord>, Option<&'static Check>);

struct Run<'a> {
    path: &'a Path,
    judged: Judged,
    program: &'a Program,
    options: &'a Options,
    told: &'a mut dyn FnMut(&Row),
    /// What is known, by entry and check.
    asked: BTreeMap<(String, &'static str), Row>,
    /// What each entry printed, and in which check.
    printed: BTreeMap<String, (&'static str, String)>,
}

impl Run<'_> {
    fn stands_in_the_way(&self, entry: &EntryRecord, check: &'static str) -> bool {
        let known = self.asked.get(&(title(Some(entry)), check));
        known.is_some_and(|row| row.result != Verdict::Pass)
    }

    fn ask(&mut self, asked: &[Asked<'_>]) -> Result<(), CheckError> {
        let checks: Vec<(String, &'static Check)> =
            asked.iter().filter_map(|(entry, check)| Some((title(*entry), (*check)?))).collect();
        let jobs: Vec<_> = asked
            .iter()
            .filter_map(|(entry, check)| {
                let config = entry.and_then(|e| self.options.configs.iter().find(|(id, _)| means(id, e)));
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
        let mut begun = Instant::now();
        child::run(self.program, &jobs, self.options.limits, &mut |index, outcome| {
            let (Some(outcome), Some((entry, check))) = (outcome, checks.get(index)) else {
                begun = Instant::now();
                return;
            };
            let seconds = begun.elapsed().as_secs_f64();
            let (result, detail) = judge(entry, check, outcome, &mut self.printed);
            let row = row(self.path, self.options, entry, check, (result, detail, seconds));
            if check.name != STDOUT {
                (self.told)(&row);
            }
            self.asked.insert((entry.clone(), check.name), row);
        })?;
        Ok(())
    }

    fn skip(&mut self, entry: &EntryRecord, check: &'static Check, why: &str) {
        let entry = title(Some(entry));
        let row = row(self.path, self.options, &entry, check, (Verdict::Skipped, why.to_owned(), 0.0));
        if check.name != STDOUT {
            (self.told)(&row);
        }
        self.asked.insert((entry, check.name), row);
    }

    /// The rows in the order of the entries and of the checks; what was printed anywhere is known only now.
    fn into_rows(mut self, entries: &[&EntryRecord]) -> Vec<Row> {
        let mut rows = Vec::new();
        for entry in std::iter::once(title(None)).chain(entries.iter().map(|entry| title(Some(entry)))) {
            for check in checks() {
                let Some(mut row) = self.asked.remove(&(entry.clone(), check.name)) else { continue };
                if check.name == STDOUT {
                    if let Some((during, text)) = self.printed.get(&entry) {
                        row.result = Verdict::Fail;
                        row.detail = format!("in `{during}` it printed {text:?}");
                    }
                    (self.told)(&row);
                }
                rows.push(row);
            }
        }
        rows
    }
}

fn judge(
    entry: &str,
    check: &'static Check,
    outcome: Outcome,
    printed: &mut BTreeMap<String, (&'static str, String)>,
) -> (Verdict, String) {
    match outcome {
        Outcome::Answered { answer, printed: text } => {
            if !text.is_empty() {
                printed.entry(entry.to_owned()).or_insert_with(|| (check.name, beginning(&text)));
            }
            match serde_json::from_value::<Said>(answer) {
                Ok(said) => (said.verdict, said.detail),
                Err(error) => (Verdict::Fail, format!("its child gives no answer of this kit: {error}")),
            }
        }
        Outcome::Crashed { how, said } => {
            let said = if said.is_empty() { String::new() } else { format!("; it said: {}", end(&said)) };
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

fn beginning(text: &str) -> String {
    let line = in_one_line(text);
    if line.chars().count() <= QUOTED {
        line
    } else {
        line.chars().take(QUOTED).chain("..".chars()).collect()
    }
}

fn end(text: &str) -> String {
    let line = in_one_line(text);
    line.chars().skip(line.chars().count().saturating_sub(QUOTED)).collect()
}
