//! Forks and streams of the generators do not change any other random number.
//!
//! Every test here draws inside a fork or under the lock, so that the threads of the tests do not draw from
//! each other's fork.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failed step is a failed test")]
use kasmina_torch_ext::ops::OpCounter;
use kasmina_torch_ext::rng::{RngFork, RngState, RngStream, derive_seed, lock, seed_all};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::channel;
use std::time::Duration;
use tch::{Device, Kind, Tensor};

fn draw() -> Vec<f32> {
    Vec::try_from(Tensor::randn([8], (Kind::Float, Device::Cpu))).unwrap()
}

#[test]
fn a_fork_restores_the_generators_also_after_a_panic() {
    let _alone = lock();
    seed_all(7).unwrap();
    let (first, second) = (draw(), draw());
    seed_all(7).unwrap();
    assert_eq!(draw(), first);
    let inside = {
        let _fork = RngFork::seeded(3).unwrap();
        draw()
    };
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let _fork = RngFork::seeded(3).unwrap();
        assert_eq!(draw(), inside);
        panic!("inside the fork");
    }));
    assert!(panicked.is_err());
    assert_eq!(draw(), second);
}

#[test]
fn a_stream_continues_where_it_stopped() {
    let _alone = lock();
    let whole = {
        let _fork = RngFork::seeded(11).unwrap();
        (draw(), draw())
    };
    seed_all(5).unwrap();
    let before = RngState::save().unwrap();
    let mut stream = RngStream::new(11).unwrap();
    assert_eq!(stream.run(draw).unwrap(), whole.0);
    assert!(before.same_as(&RngState::save().unwrap()), "the process's generators are unchanged");
    assert_eq!(stream.run(draw).unwrap(), whole.1);
    draw();
    assert!(!before.same_as(&RngState::save().unwrap()));
}

#[test]
fn forks_of_two_threads_do_not_mix() {
    let expected = {
        let _fork = RngFork::seeded(23).unwrap();
        (0..50).map(|_| draw()).collect::<Vec<_>>()
    };
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for _ in 0..20 {
                    let _fork = RngFork::seeded(23).unwrap();
                    assert!(expected.iter().all(|e| *e == draw()));
                }
            });
        }
    });
}

/// Another thread that restores the generators, as a rollback does, changes no number of a fork.
#[test]
fn a_fork_is_not_disturbed_by_another_thread() {
    let expected = {
        let _fork = RngFork::seeded(7).unwrap();
        draw()
    };
    let outside = RngState::save().unwrap();
    let (done, waiting) = channel();
    let other = {
        let _fork = RngFork::seeded(7).unwrap();
        let other = std::thread::spawn(move || {
            outside.restore().unwrap();
            done.send(()).unwrap();
        });
        // The other thread waits for the fork, so it is not done.
        let early = waiting.recv_timeout(Duration::from_millis(300));
        assert_eq!(draw(), expected);
        assert!(early.is_err());
        other
    };
    other.join().unwrap();
}

#[test]
fn seeds_depend_on_the_run_and_on_every_name() {
    let of = |run, path: &[&str]| derive_seed(run, path);
    let mut all = vec![
        of(1, &["a", "b"]),
        of(1, &["ab", ""]),
        of(1, &["ab"]),
        of(1, &["b", "a"]),
        of(2, &["a", "b"]),
        of(0, &[]),
    ];
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 6);
    // Initial weights depend on it: it must never change.
    assert_eq!(of(1, &["early", "s1", "seed"]), 4_507_358_020_414_336_831);
}

#[test]
fn operations_are_counted_by_name_and_only_while_counting() {
    let x = Tensor::ones([4], (Kind::Float, Device::Cpu));
    let counter = OpCounter::start().unwrap();
    assert!(OpCounter::start().is_err(), "one at a time");
    let y = x.lerp(&x, 0.5);
    #[expect(clippy::disallowed_methods, reason = "the read is what is counted")]
    let _ = y.sum(Kind::Float).double_value(&[]);
    let ops = counter.finish().unwrap();
    assert_eq!((ops["aten::lerp"], ops["aten::_local_scalar_dense"]), (1, 1), "{ops:?}");
    drop(OpCounter::start().unwrap());
    let counter = OpCounter::start().unwrap();
    assert!(counter.finish().unwrap().is_empty());
}
