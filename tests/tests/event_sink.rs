//! Who listens to a model's events hears of each once, and is dropped when it cannot keep up; and how many
//! seeds may live.

use kasmina::lifecycle::Event;
use kasmina::model::EventSink;
use kasmina::{Command, ModelConfig};
use kasmina_tests::bench::{Bench, config};
use std::error::Error;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Keeps what it hears, and fails or dawdles from the `limit`th event on.
#[derive(Debug)]
struct Listener {
    heard: Arc<Mutex<Vec<Event>>>,
    limit: usize,
    slow: bool,
}

impl EventSink for Listener {
    fn event(&mut self, event: &Event) -> Result<(), Box<dyn Error + Send + Sync>> {
        let mut heard = self.heard.lock().unwrap();
        heard.push(event.clone());
        if heard.len() < self.limit {
            return Ok(());
        }
        if !self.slow {
            return Err("no more".into());
        }
        std::thread::sleep(Duration::from_millis(1100));
        Ok(())
    }
}

/// What a listener hears of a seed's first epochs, and what there is to hear.
fn heard(limit: usize, slow: bool) -> (Vec<Event>, Vec<Event>) {
    let mut bench = Bench::new(&["early", "mid"]);
    let heard = Arc::default();
    bench.model.set_event_sink(Some(Box::new(Listener { heard: Arc::clone(&heard), limit, slow })));
    bench.germinate("mid", "conv_light", "linear").unwrap();
    for epoch in 0..6 {
        bench.step();
        assert!(heard.lock().unwrap().len() <= bench.model.events().len());
        bench.epoch(20.0 + f64::from(epoch), 1.0);
    }
    let all = bench.model.drain_events();
    let heard = heard.lock().unwrap().clone();
    (heard, all)
}

#[test]
fn a_listener_hears_of_every_event_once() {
    let (heard, all) = heard(usize::MAX, false);
    assert!(all.len() > 5);
    assert_eq!(heard, all);
}

#[test]
fn a_listener_that_fails_or_dawdles_is_dropped() {
    for slow in [false, true] {
        let (heard, all) = heard(2, slow);
        assert!(heard.len() >= 2 && heard.len() < all.len(), "{} of {}", heard.len(), all.len());
        assert_eq!(heard, all[..heard.len()]);
    }
}

#[test]
fn no_more_seeds_live_than_the_model_allows() {
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
