//! Ranks as threads of one process: finding each other, messages, facts, and ranks that differ or leave.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failed step is a failed test")]
use kasmina_ranks::{
    Launcher, Link, Messages, RanksError, Rendezvous, Server, StoreServer, World, compare_facts,
};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(10);

fn world(rank: usize, size: usize, port: u16) -> World {
    let meet = Rendezvous {
        host: "127.0.0.1".to_owned(),
        port,
        server: StoreServer::Launcher,
        serves: false,
        prefix: "test".to_owned(),
    };
    World {
        launcher: Launcher::Torchrun,
        rank,
        size,
        local_rank: rank,
        local_size: size,
        restarts: 0,
        rendezvous: Some(meet),
    }
}

/// Runs `body` on ranks that have joined; returns the results by rank.
fn on_ranks<T: Send>(size: usize, body: impl Fn(usize, &Arc<Link>) -> T + Sync) -> Vec<T> {
    on_ranks_within(LIMIT, size, body)
}

/// The same with another limit.
fn on_ranks_within<T: Send>(
    limit: Duration,
    size: usize,
    body: impl Fn(usize, &Arc<Link>) -> T + Sync,
) -> Vec<T> {
    let server = Server::start().unwrap();
    let port = server.port();
    std::thread::scope(|scope| {
        let body = &body;
        let start = |rank| {
            scope.spawn(move || {
                let link = Link::join(&world(rank, size, port), limit).unwrap().unwrap();
                let result = body(rank, &link);
                link.leave();
                result
            })
        };
        let threads: Vec<_> = (0..size).map(start).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

#[test]
fn messages_arrive_in_the_order_of_the_ranks() {
    let all = on_ranks(3, |rank, link| {
        let mut messages = Messages::new(link, "test");
        let rounds: Vec<_> = (0..20_u8).map(|round| messages.gather(&[round, rank as u8]).unwrap()).collect();
        (rounds, messages.from_first(format!("from {rank}").as_bytes()).unwrap())
    });
    for (rounds, first) in all {
        for (round, found) in rounds.iter().enumerate() {
            assert_eq!(*found, (0..3).map(|rank| vec![round as u8, rank]).collect::<Vec<_>>());
        }
        assert_eq!(first, b"from 0");
    }
}

/// A build of a plugin is larger than one message may be.
#[test]
fn many_bytes_of_the_first_rank_reach_every_rank() {
    let bytes: Vec<u8> = (0..9_000_001_u32).map(|n| (n % 251) as u8).collect();
    let found = on_ranks(2, |rank, link| {
        let mine = if rank == 0 { bytes.as_slice() } else { &[] };
        let mut messages = Messages::new(link, "test");
        let all = messages.bytes_from_first(mine).unwrap();
        (all, messages.bytes_from_first(&[]).unwrap())
    });
    assert!(found.iter().all(|(all, none)| *all == bytes && none.is_empty()));
}

#[test]
fn the_first_fact_that_differs_is_named_on_every_rank() {
    let errors = on_ranks(3, |rank, link| {
        let mut facts = BTreeMap::from([("a".to_owned(), "1".to_owned()), ("b".to_owned(), "2".to_owned())]);
        if rank == 2 {
            facts.insert("b".to_owned(), "3".to_owned());
        }
        compare_facts(&mut Messages::new(link, "facts"), &facts).unwrap_err().to_string()
    });
    assert!(errors.iter().all(|error| *error == errors[0]), "{errors:?}");
    assert!(
        errors[0].starts_with("rank 2 on ") && errors[0].ends_with("b is `3` there, `2` on rank 0"),
        "{errors:?}"
    );
}

#[test]
fn a_rank_that_fails_is_named_with_its_reason() {
    let found = on_ranks(2, |rank, link| {
        let mut messages = Messages::new(link, "test");
        if rank == 1 {
            link.fail("the disk is full");
            return None;
        }
        Some(messages.gather(b"mine").unwrap_err())
    });
    let Some(RanksError::Lost { rank, what, .. }) = &found[0] else { panic!("{found:?}") };
    assert_eq!((*rank, what.as_str()), (1, "ended: the disk is full"));
}

#[test]
fn one_rank_joins_nobody() {
    assert!(Link::join(&World::single(), LIMIT).unwrap().is_none());
}

/// The training thread may be blocked by the queue of its GPU, so the watching thread notices what is late.
#[test]
fn a_rank_that_stays_behind_is_noticed_while_nothing_waits_for_it() {
    let found = on_ranks_within(Duration::from_secs(1), 2, |rank, link| {
        link.report(if rank == 0 { 5 } else { 3 });
        let begun = Instant::now();
        while link.check().is_ok() && begun.elapsed() < Duration::from_secs(8) {
            std::thread::sleep(Duration::from_millis(10));
        }
        link.check().err().map(|error| error.to_string())
    });
    let error = found[0].as_ref().expect("rank 0 is ahead");
    assert!(error.contains("rank 1 on "), "{error}");
    assert!(error.contains("is late: it is at step 3, and the others wait at step 5"), "{error}");
}

/// Ranks that make no step for long, but are in the same place, go on.
#[test]
fn ranks_that_pause_together_are_not_late() {
    let found = on_ranks_within(Duration::from_secs(1), 2, |_, link| {
        link.report(5);
        std::thread::sleep(Duration::from_secs(4));
        link.check().is_ok()
    });
    assert_eq!(found, [true, true]);
}
