//! Compares a transcript with the recorded one.

use kasmina_torch_ext::cpu_name;
use std::fmt;

/// Number of epochs that are compared on another CPU than the recording one. Rounding differences grow with
/// every step, and after more epochs a gate may decide differently.
const EPOCHS: u32 = 4;
/// Accepted relative difference of losses on another CPU.
const LOSS: f64 = 1e-3;
/// Accepted difference of accuracies on another CPU, in percentage points.
const ACCURACY: f64 = 3.0;

/// Result of a case.
pub(crate) enum Verdict {
    Same,
    /// Differs within the tolerance, on another CPU.
    Close,
    Recorded,
    Differs(String),
}

impl Verdict {
    pub(crate) fn is_failure(&self) -> bool {
        matches!(self, Self::Differs(_))
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Same => f.write_str("same bits"),
            Self::Close => {
                write!(
                    f,
                    "another CPU: {EPOCHS} epochs with losses within {LOSS:e}, accuracies within {ACCURACY}"
                )
            }
            Self::Recorded => f.write_str("recorded"),
            Self::Differs(why) => write!(f, "DIFFERS\n{why}"),
        }
    }
}

pub(crate) fn compare(name: &str, found: &str) -> Verdict {
    let path = super::expected(name);
    let Ok(recorded) = std::fs::read_to_string(&path) else {
        return Verdict::Differs(format!("{} is missing; run `cargo xtask golden --update`", path.display()));
    };
    let (header, recorded) = recorded.split_once('\n').unwrap_or_default();
    if recorded == found {
        return Verdict::Same;
    }
    if header != format!("cpu {}", cpu_name()) && is_close(recorded, found) {
        return Verdict::Close;
    }
    Verdict::Differs(difference(recorded, found))
}

/// Returns the first eight lines in which the transcripts differ.
fn difference(recorded: &str, found: &str) -> String {
    let (mut recorded, mut found) = (recorded.lines(), found.lines());
    let mut text = String::new();
    let mut shown = 0;
    loop {
        let (was, is) = (recorded.next(), found.next());
        if was.is_none() && is.is_none() || shown == 8 {
            return text;
        }
        if was != is {
            shown += 1;
            text += &format!("  recorded {}\n  now      {}\n", was.unwrap_or("-"), is.unwrap_or("-"));
        }
    }
}

/// Whether the same events happened in the first epochs, with losses and accuracies within the tolerance.
/// Hashes are not compared.
fn is_close(recorded: &str, found: &str) -> bool {
    let (recorded, found) = (first_epochs(recorded), first_epochs(found));
    recorded.len() == found.len() && recorded.iter().zip(&found).all(|(was, is)| same_line(was, is))
}

/// Returns the lines of the epochs that are compared, split into words.
fn first_epochs(transcript: &str) -> Vec<Vec<String>> {
    let words = |line: &str| -> Vec<String> { line.split(' ').map(str::to_owned).collect() };
    let early = |line: &Vec<String>| match line.first().map(String::as_str) {
        Some("epoch" | "event") => {
            line.get(1).and_then(|epoch| epoch.parse::<u32>().ok()).is_some_and(|epoch| epoch <= EPOCHS)
        }
        // The result of the run, swaps, rollbacks and contained panics.
        Some("run" | "swapped" | "recovered" | "failed") => true,
        _ => false,
    };
    transcript.lines().map(words).filter(early).collect()
}

fn same_line(was: &[String], is: &[String]) -> bool {
    if was.first() != is.first() || was.first().map(String::as_str) != Some("epoch") {
        return was == is;
    }
    let number = |words: &[String], at: usize| words.get(at).and_then(|w| w.parse::<f64>().ok());
    let near = |at: usize, absolute: f64, relative: f64| match (number(was, at), number(is, at)) {
        (Some(a), Some(b)) => (a - b).abs() <= absolute + relative * a.abs(),
        (a, b) => a == b,
    };
    was.get(1) == is.get(1) && near(3, 0.0, LOSS) && near(5, 0.0, LOSS) && near(7, ACCURACY, 0.0)
}
