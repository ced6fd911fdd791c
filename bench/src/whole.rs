//! Measures training steps, and changes of structure between them.

use crate::bare::Bare;
use crate::grown::{Grown, Net};
use crate::limit;
use crate::setting::Setting;
use crate::stopwatch::{Row, Runner, in_turns, wait};
use kasmina::Command;
use kasmina::model::Germinate;
use kasmina_torch_ext::trace::Trace;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Instant;

/// Measures every network in one setting: the plain loop, eager steps and, on a GPU, captured steps.
pub(crate) fn measure(setting: Setting, rounds: usize, quick: bool) -> Vec<Row> {
    if !setting.device.is_cuda() {
        tch::set_num_threads(1);
    }
    let mut runners = Vec::new();
    for net in Net::ALL {
        let name = format!("{} {}", setting.name(), net.name());
        let runner = |side, step| Runner { name: name.clone(), side, step };
        let mut bare = Bare::new(net, setting);
        runners.push(runner("bare", Box::new(move || bare.step()) as Box<dyn FnMut()>));
        let mut eager = Grown::new(net, setting, false);
        runners.push(runner("eager", Box::new(move || eager.step())));
        if setting.device.is_cuda() {
            let mut captured = Grown::new(net, setting, true);
            // Without this check, eager steps could be measured by mistake.
            (0..12).for_each(|_| captured.step());
            let why = captured.stepper().why_eager().map(str::to_owned);
            assert!(captured.counts().captures > 0, "nothing was captured: {why:?}");
            runners.push(runner("captured", Box::new(move || captured.step())));
        }
    }
    let steps = match (quick, setting.device.is_cuda()) {
        (true, _) => 2,
        (false, true) => 40,
        (false, false) => 6,
    };
    let mut rows = in_turns(runners, setting.device, rounds, steps);
    rows.extend(Net::ALL.into_iter().filter_map(|net| limit::row(net, setting)));
    rows
}

/// Writes a trace of a few steps, captured ones on a GPU. Returns a text with the kernels that took the most
/// time.
pub(crate) fn trace(setting: Setting, net: Net, dir: &Path) -> anyhow::Result<String> {
    const STEPS: u32 = 12;
    let mut grown = Grown::new(net, setting, true);
    (0..16).for_each(|_| grown.step());
    wait(setting.device);
    let trace = Trace::start(setting.device)?;
    (0..STEPS).for_each(|_| grown.step());
    wait(setting.device);
    let name = format!("{} {}", setting.name(), net.name());
    let path = dir.join(format!("{}.json", name.replace(' ', "-")));
    let ran = trace.finish(Some(&path))?;
    let mut kernels: BTreeMap<&str, (u32, f64)> = BTreeMap::new();
    for event in &ran {
        let (times, us) = kernels.entry(&event.name).or_default();
        *times += 1;
        *us += event.took.as_secs_f64() * 1e6;
    }
    let mut sorted: Vec<_> = kernels.into_iter().collect();
    sorted.sort_by(|a, b| b.1.1.total_cmp(&a.1.1));
    let (all, times) = sorted.iter().fold((0.0, 0), |(us, n), (_, (times, more))| (us + more, n + times));
    let steps = f64::from(STEPS);
    let mut text = format!(
        "{name}: {:.0} us on the device in {:.0} kernels a step; {}",
        all / steps,
        f64::from(times) / steps,
        path.display()
    );
    for (kernel, (times, us)) in sorted.iter().take(24) {
        let short: String = kernel.chars().take(110).collect();
        let (us, times) = (us / steps, f64::from(*times) / steps);
        write!(text, "\n{us:>8.1} us {times:>5.1} x  {short}")?;
    }
    Ok(text)
}

/// Measures the cost of a change of structure: the time of the change and of the steps after it until steps
/// are replayed again, minus the time of as many replayed steps.
pub(crate) fn structure(setting: Setting) -> Vec<Row> {
    let mut grown = Grown::new(Net::Dormant, setting, true);
    let steps_per_run = 16;
    let run = |grown: &mut Grown| {
        wait(setting.device);
        let start = Instant::now();
        (0..steps_per_run).for_each(|_| grown.step());
        wait(setting.device);
        start.elapsed().as_secs_f64() * 1e6
    };
    run(&mut grown);
    // A run does the same before its first epoch: the probe is cached, and the seed's kernels are loaded.
    let germinate = Germinate::new("mid", "first", "conv_light", "linear");
    grown.bench.model.prewarm(&germinate, &grown.bench.registry).expect("the seed passes its probe");
    let (mut germinate, mut prune, mut first) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..6 {
        for times in [&mut germinate, &mut prune] {
            let start = Instant::now();
            let pruning = grown.bench.model.slots()[1].lifecycle().living().is_some();
            if pruning {
                let command = Command::Prune { slot: "mid".into(), reason: "to measure".into() };
                grown.bench.execute(&command).expect("the seed is pruned");
            } else {
                grown.bench.germinate("mid", "conv_light", "linear").expect("the seed germinates");
            }
            let changed = start.elapsed().as_secs_f64() * 1e6;
            let steps = run(&mut grown);
            let after = run(&mut grown);
            // During the first germination libraries load and compile what later ones reuse.
            if round > 0 {
                times.push(changed + steps - after);
            } else if !pruning {
                first.push(changed + steps - after);
            }
        }
        // Wait until the embargo ends, so that the slot accepts the next germination.
        for _ in 0..12 {
            grown.bench.epoch(50.0, 1.0);
        }
    }
    let row = |side: &str, us| Row { name: format!("{} structure", setting.name()), side: side.into(), us };
    vec![row("germinate, first", first), row("germinate", germinate), row("prune", prune)]
}
