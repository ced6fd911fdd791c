//! Swapping a new build into a run on several ranks: each rank judges the same bytes by its own trust, and
//! all swap or none does.

use super::ranks::{Found, NewBuild, Requested};
use super::trainer::Trainer;
use crate::control::{Build, Reply};
use crate::error::TrainError;
use kasmina_records::LiveAct;
use kasmina_registry::{Manifest, Staged};
use std::collections::VecDeque;
use std::io::Write as _;
use std::path::Path;

/// Rule in the event of a build that another rank refuses.
const OTHER_RANK: &str = "rank";

impl Trainer<'_> {
    /// Swaps in the builds that the ranks have found, one after another. `own` are those of this rank.
    pub(super) fn swap_on_ranks(
        &mut self,
        all: &[Requested],
        mut own: VecDeque<Build>,
    ) -> Result<(), TrainError> {
        let rank = self.ranks.as_ref().map_or(0, super::ranks::Ranks::rank);
        for (other, requested) in all.iter().enumerate() {
            for build in &requested.builds {
                let mine = if other == rank { own.pop_front() } else { None };
                let (staged, reply) = mine.map_or((None, None), |(_, staged, reply)| (staged.ok(), reply));
                let done = match &build.found {
                    Found::Good { sha256 } => self.swap_everywhere(other, build, sha256, staged)?,
                    Found::Refused { rule, error } => {
                        self.refuse_everywhere(&build.path, rule, error.clone())
                    }
                };
                if let Some(reply) = reply {
                    let _ = reply.send(done);
                }
            }
        }
        Ok(())
    }

    /// Records on every rank that a build was refused.
    fn refuse_everywhere(&mut self, path: &Path, rule: &str, error: String) -> Reply {
        let (path_of_act, rule_of_act) = (path.to_owned(), rule.to_owned());
        self.write_ahead(LiveAct::Refused { path: path_of_act, rule: rule_of_act, error: error.clone() });
        self.refuse(path, rule, error, None)
    }

    /// Stages a build on every rank, and swaps it in if no rank refuses it.
    fn swap_everywhere(
        &mut self,
        finder: usize,
        build: &NewBuild,
        sha256: &str,
        staged: Option<Staged>,
    ) -> Result<Reply, TrainError> {
        let staged = match staged {
            Some(staged) => Ok(staged),
            None => self.stage_same(&build.path, sha256),
        };
        // A rank that lacks the bytes takes them from rank 0, which finds all builds.
        let lacks = finder == 0 && staged.is_err();
        let staged = self.take_bytes((&build.path, sha256), lacks, staged)?;
        let Some(ranks) = &mut self.ranks else { return Ok(Reply::Done(serde_json::Value::Null)) };
        let refusals = ranks.texts(staged.as_ref().err().map_or("", String::as_str))?;
        let refused = refusals.iter().enumerate().find(|(_, text)| !text.is_empty());
        if let Some((other, text)) = refused {
            let error = format!("refused {}: rank {other}: {text}", build.path.display());
            return Ok(self.refuse_everywhere(&build.path, OTHER_RANK, error));
        }
        let Ok(staged) = staged else { return Ok(Reply::Done(serde_json::Value::Null)) };
        self.keep_build(&staged);
        self.write_ahead(LiveAct::Swap {
            path: build.path.clone(),
            plugin: staged.plugin().name.clone(),
            sha256: sha256.to_owned(),
        });
        Ok(self.adopt(&build.path, &staged))
    }

    /// Stages the file of a path if it has these bytes.
    fn stage_same(&self, path: &Path, sha256: &str) -> Result<Staged, String> {
        let found = Manifest::read(path).map_err(|error| error.to_string())?;
        if found.sha256 != sha256 {
            return Err(format!("the file {} has other bytes there", path.display()));
        }
        self.registry.stage(path).map_err(|error| error.to_string())
    }

    /// Passes the bytes of a build from rank 0 to the ranks that lack them, which stage them if they are
    /// signed or pinned there.
    fn take_bytes(
        &mut self,
        (path, sha256): (&Path, &str),
        lacks: bool,
        staged: Result<Staged, String>,
    ) -> Result<Result<Staged, String>, TrainError> {
        let Some(ranks) = &mut self.ranks else { return Ok(staged) };
        if !ranks.texts(if lacks { "lacks" } else { "" })?.iter().any(|text| !text.is_empty()) {
            return Ok(staged);
        }
        let own = if ranks.rank() == 0 { std::fs::read(path).unwrap_or_default() } else { Vec::new() };
        let bytes = ranks.file_of_first(&own)?;
        if !lacks {
            return Ok(staged);
        }
        let taken = || -> std::io::Result<_> {
            let name = path.file_name().unwrap_or_default();
            let folder = tempfile::tempdir()?;
            let file = folder.path().join(name);
            std::fs::File::create_new(&file)?.write_all(&bytes)?;
            let staged = self.registry.stage_received(&file).map_err(|error| error.to_string());
            let same = |staged: &Staged| staged.plugin().sha256.as_deref() == Some(sha256);
            let other = || format!("the file {} has other bytes on rank 0 by now", path.display());
            Ok(staged.and_then(|staged| if same(&staged) { Ok(staged) } else { Err(other()) }))
        };
        Ok(taken().unwrap_or_else(|error| Err(format!("the build cannot be stored: {error}"))))
    }
}
