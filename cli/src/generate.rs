//! `kasmina generate`.

use crate::failure::Failure;
use crate::network_args::{DtypeArg, GenerateArgs};
use crate::terminal;
use kasmina_export::{Network, Sampling};
use serde_json::json;
use std::ops::ControlFlow;
use std::time::Instant;

pub(crate) fn run(args: &GenerateArgs) -> Result<(), Failure> {
    let (source, registry, device) = args.network.open()?;
    let mut network = Network::of(&source, &registry, device)?;
    if args.dtype != DtypeArg::Fp32 {
        network.cast(args.dtype.into())?;
    }
    let prompt = network.tokens(&args.prompt)?;
    let input = network.token_input()?.clone();
    // The rest of a sequence of the training data, its last target included.
    let rest = (input.length + 1 - prompt.size().last().copied().unwrap_or(0)).max(1);
    let max_tokens = args.max_tokens.unwrap_or(u32::try_from(rest).unwrap_or(u32::MAX));
    let sampling = Sampling { temperature: args.temperature, top_k: args.top_k, seed: args.seed };
    sampling.check()?;
    if !args.json {
        terminal::out_part(&args.prompt);
    }
    let (clock, mut new) = (Instant::now(), Vec::new());
    let _ = network.generate(&prompt, max_tokens, &sampling, &mut |tokens| {
        new.extend_from_slice(tokens);
        if !args.json {
            terminal::out_part(&input.text(tokens));
        }
        ControlFlow::Continue(())
    })?;
    let seconds = clock.elapsed().as_secs_f64();
    let rate = new.len() as f64 / seconds.max(f64::MIN_POSITIVE);
    if args.json {
        terminal::out_json(&json!({
            "prompt": args.prompt,
            "text": input.text(&new),
            "tokens": new.len(),
            "seconds": seconds,
            "tokens_per_second": rate,
        }))?;
        return Ok(());
    }
    terminal::out_part("\n");
    errln!("{} tokens in {seconds:.2} s, {rate:.0} tokens per second", new.len());
    Ok(())
}
