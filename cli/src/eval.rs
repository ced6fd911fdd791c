//! `kasmina eval`.

use crate::failure::Failure;
use crate::network_args::EvalArgs;
use crate::terminal;
use kasmina_trainer::task;
use serde_json::json;

pub(crate) fn run(args: &EvalArgs) -> Result<(), Failure> {
    let (source, registry, device) = args.network.open()?;
    let mut config = source.config();
    if let Some(task) = &args.task {
        config.task.clone_from(task);
    }
    config.data.dir = args.data.data_dir.clone().or(config.data.dir);
    config.data.text = args.data.text.clone().or(config.data.text);
    let task = task::load(&config, device)?;
    let result = source.evaluate(&registry, &task)?;
    if args.json {
        terminal::out_json(
            &json!({ "path": args.network.path.display().to_string(), "task": task.id, "evaluation": result }),
        )?;
        return Ok(());
    }
    outln!(
        "{}: loss {:.4}, accuracy {:.2} % on {} validation samples",
        task.id,
        result.loss,
        result.accuracy,
        result.samples
    );
    for without in &result.without {
        outln!("without the seed in `{}`: accuracy {:.2} %", without.slot, without.accuracy);
    }
    Ok(())
}
