//! The table of kills, by the kind of moment.

use crate::moment::Moment;
use kasmina_tests::undisturbed::Random;
use std::collections::BTreeMap;
use std::fmt;

/// Result of one kill.
#[derive(Debug)]
pub(crate) struct Killed {
    /// Kinds of moment of the checkpoint from which the run was resumed.
    pub(crate) within: Vec<String>,
    /// Whether that checkpoint is from the middle of an epoch.
    pub(crate) mid_epoch: bool,
    /// Name of the checkpoint, and the steps between two checkpoints.
    pub(crate) checkpoint: String,
    /// How the resumed run differs from the undisturbed one; `None` if it does not.
    pub(crate) difference: Option<String>,
}

impl Killed {
    /// One line for the report.
    pub(crate) fn line(&self) -> String {
        let verdict = self.difference.as_deref().unwrap_or("exact");
        format!("{:<36} {verdict:<8} {}", self.checkpoint, self.within.join(", "))
    }
}

#[derive(Debug, Default, Clone, Copy)]
struct Row {
    kills: u32,
    mid_epoch: u32,
    exact: u32,
}

impl Row {
    fn add(&mut self, killed: &Killed) {
        self.kills += 1;
        self.mid_epoch += u32::from(killed.mid_epoch);
        self.exact += u32::from(killed.difference.is_none());
    }
}

/// All kills so far.
#[derive(Debug, Default)]
pub(crate) struct Table {
    rows: BTreeMap<String, Row>,
    all: Row,
}

impl Table {
    pub(crate) fn add(&mut self, killed: &Killed) {
        self.all.add(killed);
        for what in &killed.within {
            self.rows.entry(what.clone()).or_default().add(killed);
        }
    }

    /// Returns a random one of the moments whose kind has the fewest kills.
    pub(crate) fn rarest(&self, moments: &[Moment], random: &mut Random) -> Moment {
        let hits = |moment: &Moment| self.rows.get(&moment.what).map_or(0, |row| row.kills);
        let least = moments.iter().map(hits).min().unwrap_or(0);
        let rare: Vec<&Moment> = moments.iter().filter(|moment| hits(moment) == least).collect();
        rare[random.below(rare.len() as u64) as usize].clone()
    }

    pub(crate) fn all_exact(&self) -> bool {
        self.all.exact == self.all.kills
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<34} {:>6} {:>10} {:>6}", "RESUMED FROM", "KILLS", "MID-EPOCH", "EXACT")?;
        let all = ("all".to_owned(), self.all);
        for (what, row) in self.rows.iter().map(|(what, row)| (what.clone(), *row)).chain([all]) {
            writeln!(f, "{what:<34} {:>6} {:>10} {:>6}", row.kills, row.mid_epoch, row.exact)?;
        }
        Ok(())
    }
}
