//! The progress of a run: a bar with epoch, accuracy and every slot, or plain lines if standard error is no
//! terminal.

use crate::ranks::RankOutput;
use crate::terminal;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use kasmina::lifecycle::{Event, EventKind, Stage};
use kasmina_registry::plain;
use kasmina_trainer::run::Saved;
use kasmina_trainer::{EpochReport, Observer};
use std::path::Path;

pub(crate) struct Progress {
    screen: MultiProgress,
    bar: Option<ProgressBar>,
    /// Where the output of a rank that does not print goes.
    output: Option<RankOutput>,
}

impl Progress {
    pub(crate) fn new(screen: &MultiProgress, epochs: u32, output: Option<RankOutput>) -> Self {
        let bar = terminal::stderr_can_redraw().then(|| {
            let bar = screen.add(ProgressBar::new(u64::from(epochs)));
            let style =
                ProgressStyle::with_template("{bar:24} epoch {pos}/{len}  {msg}  eta {eta}  {prefix}")
                    .unwrap_or_else(|_| ProgressStyle::default_bar());
            bar.set_style(style);
            bar
        });
        Self { screen: screen.clone(), bar, output }
    }

    pub(crate) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn print_line(&self, line: &str) {
        self.screen.suspend(|| errln!("{line}"));
    }
}

impl Observer for Progress {
    fn opened(&mut self, run: &Path) {
        if let Some(output) = &mut self.output
            && let Err(error) = output.continue_in(run)
        {
            errln!("warning: the output of this rank cannot be written: {error}");
        }
    }

    fn epoch(&mut self, report: &EpochReport, epochs: u32) {
        let slots: Vec<String> = report
            .slots
            .iter()
            .map(|(name, row)| match row.stage {
                Stage::Dormant => format!("{name} -"),
                Stage::Blending => format!("{name} BLENDING {:.2}", row.alpha),
                stage => format!("{name} {stage}"),
            })
            .collect();
        let message = format!("accuracy {:5.2}  {}", report.val_accuracy, slots.join("  "));
        if let Some(bar) = &self.bar {
            bar.set_position(u64::from(report.epoch));
            bar.set_message(plain::one_line(&message).into_owned());
        } else {
            let message = message.trim_end();
            errln!("epoch {:>3}/{epochs}  loss {:.4}  {message}", report.epoch, report.train_loss);
        }
    }

    fn saved(&mut self, saved: &Saved) {
        let about = &saved.written.about;
        let within = if about.epoch_is_whole { String::new() } else { format!(", step {}", about.step) };
        let message = format!("saved epoch {}{within}", about.epoch);
        if let Some(bar) = &self.bar {
            bar.set_prefix(message);
        } else {
            errln!("{message}");
        }
    }

    fn event(&mut self, epoch: u32, event: &Event) {
        let seed = event.seed_id.as_deref().unwrap_or("?");
        match &event.kind {
            EventKind::SeedGerminated { blueprint_id, params, .. } => {
                self.print_line(&format!(
                    "epoch {epoch:>3}: {seed} germinated ({blueprint_id}, {params} parameters)"
                ));
            }
            EventKind::SeedFossilized { counterfactual, .. } => {
                let worth = counterfactual.map_or_else(String::new, |c| format!(", worth {c:+.2} points"));
                self.print_line(&format!("epoch {epoch:>3}: {seed} fossilized{worth}"));
            }
            EventKind::SeedPruned { reason, .. } => {
                self.print_line(&format!("epoch {epoch:>3}: {seed} pruned ({reason})"));
            }
            EventKind::SeedHealth { healthy: false, cause } => {
                self.print_line(&format!("epoch {epoch:>3}: {seed} is unhealthy ({cause})"));
            }
            EventKind::PluginSwapped { kind, id, plugin, from_generation, to_generation, slots } => {
                let moved = if slots.is_empty() {
                    String::new()
                } else {
                    format!(", on trial in {}", slots.join(", "))
                };
                self.print_line(&format!(
                    "epoch {epoch:>3}: {plugin} {from_generation} -> {to_generation}: {kind} {id}{moved}"
                ));
            }
            EventKind::PluginConfirmed { plugin, generation } => {
                self.print_line(&format!("epoch {epoch:>3}: {plugin} {generation} confirmed"));
            }
            EventKind::PluginRolledBack { plugin, from_generation, to_generation, reason } => {
                self.print_line(&format!(
                    "epoch {epoch:>3}: {plugin} {from_generation} -> {to_generation}, rolled back: {reason}"
                ));
            }
            EventKind::PluginRefused { path, rule, .. } => {
                self.print_line(&format!("epoch {epoch:>3}: refused {path} (rule `{rule}`)"));
            }
            EventKind::PluginContained { plugin, policy, .. } => {
                let slot = &event.slot_id;
                self.print_line(&format!("epoch {epoch:>3}: {plugin} panicked in {slot}; policy {policy}"));
            }
            _ => {}
        }
    }
}
