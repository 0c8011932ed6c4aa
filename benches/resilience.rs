//! The lock-free parts of the tools, by criterion: `cargo bench -p mistral-benches --bench resilience -- [WORD ...] [--test]`.
//!
//! One thread, which is what an uncontended call pays. Each operation is first checked to do what it is measured at, and after
//! measuring the counts must agree with the calls. The table gives nanoseconds.

mod measure;

use std::hint::black_box;
use std::time::Duration;

use measure::Bench;
use mistral_tools::{
    CancellationToken, ErrorKind,
    metrics::{ErrorCounters, LatencyHistogram, RelaxedCounter},
    resilience::{BreakerPolicy, BreakerState, CircuitBreaker, ResilienceEvent},
    stream::{Emitter, NoChunk, WhenFull},
    time::{Clock, ManualClock, Moment, SystemClock},
};

fn main() {
    let mut bench = Bench::new(std::env::args().skip(1).collect());
    let mut table = Vec::new();
    let mut measure = |name: &str, operation: &mut dyn FnMut()| {
        if bench.wants(name)
            && let Some(seconds) = bench.seconds(name, operation)
        {
            table.push(format!("{name:32} {:7.1} ns", 1e9 * seconds));
        }
    };
    breaker(&mut measure);
    statistics(&mut measure);
    emitter(&mut measure);
    cancellation(&mut measure);
    println!("\nevery result is right\n{}", table.join("\n"));
}

type Measure<'a> = &'a mut dyn FnMut(&str, &mut dyn FnMut());

fn breaker(measure: Measure<'_>) {
    let breaker = CircuitBreaker::new(BreakerPolicy::new().failures(1, 1));
    measure("breaker/check and drop", &mut || drop(black_box(black_box(&breaker).check())));
    measure("breaker/check and success", &mut || {
        if let Ok(permit) = black_box(&breaker).check() {
            permit.success();
        }
    });
    assert_eq!(breaker.state(), BreakerState::Closed);

    let observed = CircuitBreaker::new(BreakerPolicy::new()).with_observer(None::<fn(&ResilienceEvent)>);
    measure("breaker/check, observer absent", &mut || drop(black_box(black_box(&observed).check())));

    if let Ok(permit) = breaker.check() {
        permit.failure();
    }
    assert!(breaker.check().is_err());
    measure("breaker/check while open", &mut || assert!(black_box(&breaker).check().is_err()));
    measure("clock/now", &mut || assert!(SystemClock.now() > Moment::ORIGIN));

    let clock = ManualClock::new();
    let probed =
        CircuitBreaker::new(BreakerPolicy::new().failures(1, 1).pause(Duration::from_secs(1))).with_clock(&clock);
    if let Ok(permit) = probed.check() {
        permit.failure();
    }
    clock.advance(Duration::from_secs(2));
    measure("breaker/probe taken and returned", &mut || assert!(black_box(&probed).check().is_ok()));
    assert!(probed.check().is_ok_and(|permit| {
        permit.success();
        probed.state() == BreakerState::Closed
    }));
}

fn statistics(measure: Measure<'_>) {
    let (counter, mut calls) = (RelaxedCounter::new(), 0);
    measure("counter/inc", &mut || {
        black_box(&counter).inc();
        calls += 1;
    });
    assert_eq!(counter.get(), calls);
    measure("counter/sub", &mut || {
        black_box(&counter).sub();
    });
    let before = counter.reset();
    assert!(before <= calls && counter.sub() == 0);

    let (errors, mut calls) = (ErrorCounters::new(), 0);
    measure("counter/error of a kind", &mut || {
        black_box(&errors).inc(black_box(ErrorKind::Timeout));
        calls += 1;
    });
    assert_eq!((errors.get(ErrorKind::Timeout), errors.snapshot().total()), (calls, calls));

    let (latency, mut calls) = (LatencyHistogram::new(), 1);
    latency.record(Duration::ZERO);
    measure("histogram/record", &mut || {
        black_box(&latency).record(Duration::from_nanos(calls % 1000));
        calls += 1;
    });
    let snapshot = latency.snapshot();
    assert_eq!(snapshot.count(), calls);
    let median = snapshot.quantile(0.5).unwrap_or_default().as_nanos();
    assert!(calls < 10_000 || (480..=520).contains(&median), "{median}");
    measure("histogram/snapshot and p95", &mut || assert!(black_box(&latency).snapshot().quantile(0.95).is_some()));
}

fn emitter(measure: Measure<'_>) {
    let (emitter, mut chunks) = Emitter::bounded(64, WhenFull::Error, CancellationToken::new());
    let mut calls = 0u64;
    measure("emitter/try_emit and try_next", &mut || {
        assert_eq!(emitter.try_emit(calls), Ok(()));
        assert_eq!(chunks.try_next(), Ok(calls));
        calls += 1;
    });
    assert_eq!(chunks.try_next(), Err(NoChunk::Empty));

    let (emitter, mut chunks) = Emitter::bounded(64, WhenFull::DropOldest, CancellationToken::new());
    let mut calls = 0u64;
    measure("emitter/try_emit, oldest dropped", &mut || {
        assert_eq!(emitter.try_emit(calls), Ok(()));
        calls += 1;
    });
    assert_eq!((emitter.dropped(), chunks.len() as u64), (calls.saturating_sub(64), calls.min(64)));
    assert!(calls == 0 || chunks.try_next() == Ok(calls.saturating_sub(64)));

    // A thousand chunks from another thread through a queue of 64: what waiting costs, by the chunk.
    measure("emitter/1000 chunks, two threads", &mut || {
        let (emitter, chunks) = Emitter::bounded(64, WhenFull::Block, CancellationToken::new());
        std::thread::scope(|scope| {
            scope.spawn(move || (0..1000u64).all(|chunk| emitter.emit_blocking(chunk).is_ok()));
            assert_eq!(chunks.sum::<u64>(), 499_500);
        });
    });
}

fn cancellation(measure: Measure<'_>) {
    let token = CancellationToken::new();
    let grandchild = token.child().child();
    measure("token/is_cancelled, 3 deep", &mut || assert!(!black_box(&grandchild).is_cancelled()));
    token.cancel();
    assert!(grandchild.is_cancelled());
}
