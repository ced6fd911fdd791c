//! `kasmina generate`.

use crate::failure::Failure;
use crate::terminal;
use crate::use_args::{DtypeArg, GenerateArgs};
use kasmina_export::{Network, Sampling};
use kasmina_trainer::task::Input;
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
    let max_tokens = args.max_tokens.unwrap_or_else(|| rest_of_a_sequence(&network, &prompt));
    let sampling = Sampling { temperature: args.temperature, top_k: args.top_k, seed: args.seed };
    sampling.check()?;
    let alphabet = match &network.interface().input {
        Input::Tokens(input) => input.alphabet.clone(),
        Input::Image(_) => Vec::new(),
    };
    if !args.json {
        terminal::out_part(&args.prompt);
    }
    let (clock, mut new) = (Instant::now(), Vec::new());
    let _ = network.generate(&prompt, max_tokens, &sampling, &mut |tokens| {
        new.extend_from_slice(tokens);
        if !args.json {
            let texts = tokens.iter().filter_map(|token| alphabet.get(usize::try_from(*token).ok()?));
            texts.for_each(|text| terminal::out_part(text));
        }
        ControlFlow::Continue(())
    })?;
    let seconds = clock.elapsed().as_secs_f64();
    let rate = new.len() as f64 / seconds.max(f64::MIN_POSITIVE);
    if args.json {
        terminal::out_json(&json!({
            "prompt": args.prompt,
            "text": network.text(&new)?,
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

/// Returns how many tokens follow the prompt in a sequence of the training data, the last target included.
fn rest_of_a_sequence(network: &Network, prompt: &tch::Tensor) -> u32 {
    let Input::Tokens(input) = &network.interface().input else { return 0 };
    let read = prompt.size().last().copied().unwrap_or(0);
    u32::try_from((input.length + 1 - read).max(1)).unwrap_or(u32::MAX)
}
