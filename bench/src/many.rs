//! Measures many small models on one GPU: one after the other, and each on its own thread and stream.

use crate::grown::{Grown, Net};
use crate::setting::Setting;
use crate::stopwatch::{Row, wait};
use kasmina::model::Precision;
use std::time::Instant;
use tch::Device;

/// Number of models.
pub(crate) const MODELS: usize = 16;
/// Configuration of the host `cnn`.
const HOST: &str = r#"{"in_channels": 3, "base_channels": 8}"#;
/// Shape of the batch.
const SHAPE: [i64; 4] = [32, 3, 32, 32];

/// Measures the time in which all models take one step.
pub(crate) fn measure(device: Device, rounds: usize, quick: bool) -> Vec<Row> {
    let setting = Setting { device, batch: SHAPE[0], precision: Precision::Fp32 };
    let make = |captured| -> Vec<Grown> {
        (0..MODELS).map(|_| Grown::of(Net::Blending, setting, HOST, &SHAPE, captured)).collect()
    };
    let steps = if quick { 2 } else { 50 };
    let mut rows = Vec::new();
    for (captured, in_turn, at_once) in
        [(false, "eager, in turn", "eager, at once"), (true, "captured, in turn", "captured, at once")]
    {
        let mut models = make(captured);
        for model in &mut models {
            (0..16).for_each(|_| model.step());
        }
        let (mut one_by_one, mut together) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            let per_step = |start: Instant| start.elapsed().as_secs_f64() * 1e6 / f64::from(steps);
            wait(device);
            let start = Instant::now();
            for model in &mut models {
                (0..steps).for_each(|_| model.step());
            }
            wait(device);
            one_by_one.push(per_step(start));

            let start = Instant::now();
            std::thread::scope(|scope| {
                for model in &mut models {
                    scope.spawn(move || {
                        // Each thread keeps a stream of its own; on the default stream the steps would wait
                        // for each other.
                        let stream = model.stepper().stream();
                        let own =
                            stream.is_none().then(|| kasmina_torch_ext::cuda::Stream::new(device).unwrap());
                        let _on = stream.as_deref().or(own.as_ref()).map(|s| s.enter().unwrap());
                        (0..steps).for_each(|_| model.step());
                    });
                }
            });
            wait(device);
            together.push(per_step(start));
        }
        let name = format!("cuda {MODELS} small models");
        rows.push(Row { name: name.clone(), side: in_turn.into(), us: one_by_one });
        rows.push(Row { name, side: at_once.into(), us: together });
    }
    rows
}
