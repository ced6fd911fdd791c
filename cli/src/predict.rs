//! `kasmina predict`.

use crate::failure::Failure;
use crate::network_args::PredictArgs;
use crate::{table, terminal};
use kasmina_export::Network;

pub(crate) fn run(args: &PredictArgs) -> Result<(), Failure> {
    let (source, registry, device) = args.network.open()?;
    let mut network = Network::of(&source, &registry, device)?;
    let classified = network.classify(&args.input, args.top as usize)?;
    if args.json {
        for picture in &classified {
            terminal::out_json_line(picture)?;
        }
        return Ok(());
    }
    let mut rows = table::table(&["picture", "class", "probability"], &["probability"]);
    for picture in &classified {
        for ranked in &picture.classes {
            let path = picture.path.display().to_string();
            rows.add_row([path, ranked.class.clone(), format!("{:.1} %", 100.0 * ranked.probability)]);
        }
    }
    table::print(&rows);
    Ok(())
}
