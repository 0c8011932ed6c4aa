//! Every interleaving of a few threads, by loom, down into the queue and the events, which have loom's atomics here too:
//! `RUSTFLAGS="--cfg loom" cargo test -p mistral-tools --lib model`.

use std::pin::pin;

use super::*;
use crate::sync::park::sleep_on;

fn check(model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(2);
    builder.check(model);
}

fn pair(capacity: usize, when_full: WhenFull) -> (Emitter<u32>, Chunks<u32>, CancellationToken) {
    let token = CancellationToken::new();
    let (emitter, chunks) = Emitter::bounded(capacity, when_full, token.clone());
    (emitter, chunks, token)
}

/// As [`Emitter::emit_blocking`], without its other looks before it sleeps: the protocol must hold by itself.
fn emit(emitter: &Emitter<u32>, chunk: u32) -> Result<(), EmitError<u32>> {
    sleep_on(pin!(emitter.emit(chunk)))
}

/// As the iterator, without its other looks.
fn next(chunks: &mut Chunks<u32>) -> Option<u32> {
    sleep_on(pin!(std::future::poll_fn(|context| chunks.poll_chunk(context))))
}

#[test]
fn chunks_come_in_order_and_then_the_end() {
    check(|| {
        let (emitter, mut chunks, _) = pair(1, WhenFull::Block);
        let tool = loom::thread::spawn(move || {
            for chunk in 0..2 {
                assert!(emit(&emitter, chunk).is_ok());
            }
        });
        assert_eq!([(); 3].map(|()| next(&mut chunks)), [Some(0), Some(1), None]);
        tool.join().unwrap();
    });
}

#[test]
fn two_emitters_lose_nothing() {
    check(|| {
        let (emitter, chunks, _) = pair(2, WhenFull::Error);
        let other = {
            let emitter = emitter.clone();
            loom::thread::spawn(move || assert!(emitter.try_emit(1).is_ok()))
        };
        assert!(emitter.try_emit(2).is_ok());
        drop(emitter);
        assert_eq!(chunks.sum::<u32>(), 3);
        other.join().unwrap();
    });
}

#[test]
fn an_emitter_that_waits_is_told_of_the_end() {
    check(|| {
        let (emitter, chunks, _) = pair(1, WhenFull::Block);
        assert!(emitter.try_emit(0).is_ok());
        let receiver = loom::thread::spawn(move || drop(chunks));
        assert!(matches!(emit(&emitter, 1), Err(EmitError::Closed(1))));
        receiver.join().unwrap();
    });
}

#[test]
fn what_is_accepted_while_closing_is_delivered() {
    check(|| {
        let (emitter, mut chunks, _) = pair(2, WhenFull::Error);
        let tool = loom::thread::spawn(move || emitter.try_emit(1).is_ok());
        chunks.close();
        let mut taken = false;
        while next(&mut chunks).is_some() {
            taken = true;
        }
        assert_eq!(tool.join().unwrap(), taken);
    });
}

#[test]
fn what_is_accepted_while_cancelled_is_delivered() {
    check(|| {
        let (emitter, chunks, token) = pair(2, WhenFull::Error);
        let tool = loom::thread::spawn(move || emitter.try_emit(1).is_ok());
        token.cancel();
        let taken = chunks.count() == 1;
        assert_eq!(tool.join().unwrap(), taken);
    });
}

#[test]
fn a_receiver_that_waits_is_told_of_a_cancellation() {
    check(|| {
        let (emitter, mut chunks, token) = pair(1, WhenFull::Block);
        let canceller = loom::thread::spawn(move || token.cancel());
        // The emitter lives, so that only the cancellation ends it.
        assert_eq!(next(&mut chunks), None);
        canceller.join().unwrap();
        assert!(matches!(emitter.try_emit(1), Err(EmitError::Cancelled(1))));
    });
}

#[test]
fn an_emitter_that_waits_is_told_of_a_cancellation() {
    check(|| {
        let (emitter, chunks, token) = pair(1, WhenFull::Block);
        assert!(emitter.try_emit(0).is_ok());
        let canceller = loom::thread::spawn(move || token.cancel());
        assert!(matches!(emit(&emitter, 1), Err(EmitError::Cancelled(1))));
        canceller.join().unwrap();
        assert_eq!(chunks.collect::<Vec<_>>(), [0]);
    });
}

#[test]
fn the_oldest_is_dropped_and_counted() {
    check(|| {
        let (emitter, mut chunks, _) = pair(1, WhenFull::DropOldest);
        let tool = loom::thread::spawn(move || {
            for chunk in 1..=2 {
                assert!(emitter.try_emit(chunk).is_ok());
            }
        });
        let taken: Vec<_> = std::iter::from_fn(|| next(&mut chunks)).collect();
        tool.join().unwrap();
        assert_eq!(taken.last(), Some(&2));
        assert_eq!(taken.len() as u64 + chunks.dropped(), 2);
    });
}
