//! `kasmina plugins quarantine`.

use super::args::{QuarantineArgs, QuarantineVerb};
use crate::failure::Failure;
use crate::terminal;
use kasmina_registry::quarantine::{Quarantine, Quarantined};

pub(crate) fn run(args: &QuarantineArgs) -> Result<(), Failure> {
    let quarantine = Quarantine::of_user().ok_or_else(|| {
        Failure::new("there is no folder for the quarantine").with_help("set HOME, or XDG_STATE_HOME")
    })?;
    match &args.verb {
        QuarantineVerb::List { json: true } => Ok(terminal::out_json(&quarantine.list()?)?),
        QuarantineVerb::List { json: false } => {
            let all = quarantine.list()?;
            all.iter().for_each(print);
            if all.is_empty() {
                outln!("nothing is in quarantine");
            }
            Ok(())
        }
        QuarantineVerb::Clear { build } => {
            let released = quarantine.clear(build.as_deref())?;
            if released.is_empty() {
                let what = build
                    .as_deref()
                    .map_or_else(|| "nothing".to_owned(), |m| format!("nothing called `{m}`"));
                outln!("{what} is in quarantine");
            }
            for quarantined in released {
                outln!("released {} {}", quarantined.name, quarantined.path.display());
            }
            Ok(())
        }
    }
}

fn print(quarantined: &Quarantined) {
    let Quarantined { sha256, name, path, reason, .. } = quarantined;
    outln!("{name} {} {}", sha256.get(..12).unwrap_or_default(), path.display());
    outln!("  {reason}");
}
