//! An event sink receives every event of a model once, and is dropped when it fails or is slow. Also: the
//! limit on the number of seeds.

use kasmina::lifecycle::Event;
use kasmina::model::EventSink;
use kasmina::{Command, ModelConfig};
use kasmina_tests::bench::{Bench, config};
use std::error::Error;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Keeps every event; from the `limit`th event on it fails or, with `slow`, takes too long.
#[derive(Debug)]
struct RecordingSink {
    received: Arc<Mutex<Vec<Event>>>,
    limit: usize,
    slow: bool,
}

impl EventSink for RecordingSink {
    fn event(&mut self, event: &Event) -> Result<(), Box<dyn Error + Send + Sync>> {
        let mut received = self.received.lock().unwrap();
        received.push(event.clone());
        if received.len() < self.limit {
            return Ok(());
        }
        if !self.slow {
            return Err("no more".into());
        }
        std::thread::sleep(Duration::from_millis(1100));
        Ok(())
    }
}

/// Returns the events that a sink receives in a seed's first epochs, and all events of the model.
fn received(limit: usize, slow: bool) -> (Vec<Event>, Vec<Event>) {
    let mut bench = Bench::new(&["early", "mid"]);
    let received = Arc::default();
    bench.model.set_event_sink(Some(Box::new(RecordingSink {
        received: Arc::clone(&received),
        limit,
        slow,
    })));
    bench.germinate("mid", "conv_light", "linear").unwrap();
    for epoch in 0..6 {
        bench.step();
        assert!(received.lock().unwrap().len() <= bench.model.events().len());
        bench.epoch(20.0 + f64::from(epoch), 1.0);
    }
    let all = bench.model.drain_events();
    let received = received.lock().unwrap().clone();
    (received, all)
}

#[test]
fn an_event_sink_receives_every_event_once() {
    let (received, all) = received(usize::MAX, false);
    assert!(all.len() > 5);
    assert_eq!(received, all);
}

#[test]
fn an_event_sink_that_fails_or_is_slow_is_dropped() {
    for slow in [false, true] {
        let (received, all) = received(2, slow);
        assert!(received.len() >= 2 && received.len() < all.len(), "{} of {}", received.len(), all.len());
        assert_eq!(received, all[..received.len()]);
    }
}

#[test]
fn max_seeds_limits_the_number_of_seeds() {
    let limited = ModelConfig { max_seeds: Some(1), ..config(&["early", "mid"], "contiguous") };
    let mut bench = Bench::with(limited);
    bench.germinate("early", "conv_light", "linear").unwrap();
    let second = kasmina::model::Germinate::new("mid", "s2", "conv_light", "linear");
    let refused =
        bench.model.execute(&Command::Germinate(second.clone()), &bench.registry, &mut bench.optimizer);
    let refused = refused.unwrap_err();
    assert_eq!(
        (refused.code(), refused.to_string().as_str()),
        ("max_seeds", "the limit of 1 seeds (`max_seeds`) is reached")
    );
    let prune = Command::Prune { slot: "early".to_owned(), reason: "room".to_owned() };
    bench.execute(&prune).unwrap();
    bench.execute(&Command::Germinate(second)).unwrap();
}
