//! The queue against one with a mutex, ends that go in every order, and many threads.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::task::{Wake, Waker};
use std::thread;

use proptest::prelude::*;

use super::*;

/// Both ends of a queue, without waiting.
trait Queue {
    fn try_emit(&mut self, chunk: u32) -> Result<(), EmitError<u32>>;
    fn try_next(&mut self) -> Result<u32, NoChunk>;
    fn close(&mut self, emitting: bool);
    fn drop_emitter(&mut self);
    fn drop_receiver(&mut self);
    fn cancel(&mut self);
    fn dropped(&self) -> u64;
}

struct Ends {
    emitter: Option<Emitter<u32>>,
    chunks: Option<Chunks<u32>>,
    token: CancellationToken,
    dropped: u64,
}

impl Queue for Ends {
    fn try_emit(&mut self, chunk: u32) -> Result<(), EmitError<u32>> {
        self.emitter.as_ref().map_or(Ok(()), |emitter| emitter.try_emit(chunk))
    }
    fn try_next(&mut self) -> Result<u32, NoChunk> {
        self.chunks.as_mut().map_or(Err(NoChunk::Ended), Chunks::try_next)
    }
    fn close(&mut self, emitting: bool) {
        match (&self.emitter, &self.chunks) {
            (Some(emitter), _) if emitting => emitter.close(),
            (_, Some(chunks)) if !emitting => chunks.close(),
            _ => {}
        }
    }
    fn drop_emitter(&mut self) {
        self.dropped = self.dropped();
        self.emitter = None;
    }
    fn drop_receiver(&mut self) {
        self.chunks = None;
    }
    fn cancel(&mut self) {
        self.token.cancel();
    }
    fn dropped(&self) -> u64 {
        self.emitter.as_ref().map_or(self.dropped, Emitter::dropped)
    }
}

/// The obviously right queue.
struct Locked {
    capacity: usize,
    when_full: WhenFull,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    chunks: VecDeque<u32>,
    closed: bool,
    cancelled: bool,
    no_emitter: bool,
    no_receiver: bool,
    dropped: u64,
}

impl Locked {
    fn with<R>(&self, f: impl FnOnce(&mut Inner) -> R) -> R {
        f(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Queue for Locked {
    fn try_emit(&mut self, chunk: u32) -> Result<(), EmitError<u32>> {
        self.with(|inner| {
            if inner.no_emitter {
                return Ok(());
            }
            if inner.cancelled {
                return Err(EmitError::Cancelled(chunk));
            }
            if inner.closed {
                return Err(EmitError::Closed(chunk));
            }
            if inner.chunks.len() == self.capacity {
                if self.when_full != WhenFull::DropOldest {
                    return Err(EmitError::Full(chunk));
                }
                inner.chunks.pop_front();
                inner.dropped += 1;
            }
            inner.chunks.push_back(chunk);
            Ok(())
        })
    }
    fn try_next(&mut self) -> Result<u32, NoChunk> {
        self.with(|inner| {
            inner.closed |= inner.cancelled;
            let none = if inner.closed || inner.no_receiver { NoChunk::Ended } else { NoChunk::Empty };
            if inner.no_receiver { Err(none) } else { inner.chunks.pop_front().ok_or(none) }
        })
    }
    fn close(&mut self, emitting: bool) {
        self.with(|inner| inner.closed |= if emitting { !inner.no_emitter } else { !inner.no_receiver });
    }
    fn drop_emitter(&mut self) {
        self.with(|inner| (inner.no_emitter, inner.closed) = (true, true));
    }
    fn drop_receiver(&mut self) {
        self.with(|inner| (inner.no_receiver, inner.closed) = (true, true));
    }
    fn cancel(&mut self) {
        self.with(|inner| inner.cancelled = true);
    }
    fn dropped(&self) -> u64 {
        self.with(|inner| inner.dropped)
    }
}

type Seen = (Option<Result<(), EmitError<u32>>>, Option<Result<u32, NoChunk>>, u64);

fn history(queue: &mut impl Queue, steps: &[u8]) -> Vec<Seen> {
    let seen = steps.iter().zip(0..).map(|(&step, chunk)| {
        let (mut emitted, mut taken) = (None, None);
        match step {
            0..40 => emitted = Some(queue.try_emit(chunk)),
            40..70 => taken = Some(queue.try_next()),
            70 => queue.close(true),
            71 => queue.close(false),
            72 => queue.drop_emitter(),
            73 => queue.drop_receiver(),
            _ => queue.cancel(),
        }
        (emitted, taken, queue.dropped())
    });
    seen.collect()
}

fn policies() -> impl Strategy<Value = WhenFull> {
    prop_oneof![Just(WhenFull::Block), Just(WhenFull::DropOldest), Just(WhenFull::Error)]
}

proptest! {
    #[test]
    fn it_does_what_a_locked_queue_does(
        when_full in policies(),
        capacity in 1usize..6,
        steps in prop::collection::vec(0u8..75, 0..120),
    ) {
        let token = CancellationToken::new();
        let (emitter, chunks) = Emitter::bounded(capacity, when_full, token.clone());
        let mut ends = Ends { emitter: Some(emitter), chunks: Some(chunks), token, dropped: 0 };
        let mut twin = Locked { capacity, when_full, inner: Mutex::default() };
        prop_assert_eq!(history(&mut ends, &steps), history(&mut twin, &steps));
    }
}

/// Counts how often it was woken.
#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn waker() -> (Arc<Count>, Waker) {
    let count = Arc::new(Count::default());
    (count.clone(), Waker::from(count))
}

fn pair<T>(capacity: usize, when_full: WhenFull) -> (Emitter<T>, Chunks<T>, CancellationToken) {
    let token = CancellationToken::new();
    let (emitter, chunks) = Emitter::bounded(capacity, when_full, token.clone());
    (emitter, chunks, token)
}

#[test]
fn an_emitter_that_waits_is_woken_by_whatever_ends_the_wait() {
    type Ending = fn(Emitter<u8>, Chunks<u8>, &CancellationToken) -> Option<Chunks<u8>>;
    let endings: [(Ending, Result<(), EmitError<u8>>); 5] = [
        (|_, mut chunks, _| chunks.next().map(|_| chunks), Ok(())),
        (|_, chunks, _| (drop(chunks), None).1, Err(EmitError::Closed(2))),
        (|_, chunks, _| (chunks.close(), Some(chunks)).1, Err(EmitError::Closed(2))),
        (|emitter, chunks, _| (emitter.close(), Some(chunks)).1, Err(EmitError::Closed(2))),
        (|_, chunks, token| (token.cancel(), Some(chunks)).1, Err(EmitError::Cancelled(2))),
    ];
    for (ending, expected) in endings {
        let (emitter, chunks, token) = pair(1, WhenFull::Block);
        emitter.try_emit(1).unwrap();
        let mut emit = emitter.emit(2);
        let (count, waker) = waker();
        let mut context = Context::from_waker(&waker);
        assert!(Pin::new(&mut emit).poll(&mut context).is_pending());
        assert_eq!(count.0.load(Ordering::SeqCst), 0);
        let _chunks = ending(emitter.clone(), chunks, &token);
        assert_eq!(count.0.load(Ordering::SeqCst), 1, "{expected:?}");
        assert_eq!(Pin::new(&mut emit).poll(&mut context), Poll::Ready(expected));
        assert!(Pin::new(&mut emit).poll(&mut context).is_pending());
    }
}

#[test]
fn a_receiver_that_waits_is_woken_by_whatever_ends_the_wait() {
    type Ending = fn(Emitter<u8>, &CancellationToken) -> Option<Emitter<u8>>;
    let endings: [(Ending, Option<u8>); 5] = [
        (|emitter, _| (emitter.try_emit(1), Some(emitter)).1, Some(1)),
        (|emitter, _| (crate::sync::park::block_on(emitter.emit(1)), Some(emitter)).1, Some(1)),
        (|emitter, _| (drop(emitter), None).1, None),
        (|emitter, _| (emitter.close(), Some(emitter)).1, None),
        (|emitter, token| (token.cancel(), Some(emitter)).1, None),
    ];
    for (ending, expected) in endings {
        let (emitter, mut chunks, token) = pair(1, WhenFull::Block);
        let (count, waker) = waker();
        let mut context = Context::from_waker(&waker);
        assert!(Pin::new(&mut chunks).poll_next(&mut context).is_pending());
        // A clone that goes ends nothing.
        drop(emitter.clone());
        assert_eq!(count.0.load(Ordering::SeqCst), 0);
        let emitter = ending(emitter, &token);
        assert_eq!(count.0.load(Ordering::SeqCst), 1);
        assert_eq!(Pin::new(&mut chunks).poll_next(&mut context), Poll::Ready(expected));
        drop(emitter);
        assert_eq!(chunks.next(), None);
        assert_eq!(chunks.next(), None);
    }
}

#[test]
fn a_place_goes_on_to_the_next_when_who_was_woken_is_dropped() {
    let (emitter, mut chunks, _) = pair(1, WhenFull::Block);
    emitter.try_emit(0).unwrap();
    let (mut first, mut second) = (emitter.emit(1), emitter.emit(2));
    let ((one, first_waker), (two, second_waker)) = (waker(), waker());
    assert!(Pin::new(&mut first).poll(&mut Context::from_waker(&first_waker)).is_pending());
    assert!(Pin::new(&mut second).poll(&mut Context::from_waker(&second_waker)).is_pending());
    assert_eq!(chunks.next(), Some(0));
    assert_eq!((one.0.load(Ordering::SeqCst), two.0.load(Ordering::SeqCst)), (1, 0));
    drop(first);
    assert_eq!(two.0.load(Ordering::SeqCst), 1);
    assert_eq!(crate::sync::park::block_on(second), Ok(()));
    assert_eq!(chunks.try_next(), Ok(2));
    assert_eq!(chunks.try_next(), Err(NoChunk::Empty));
}

#[test]
fn many_emitters_lose_nothing_and_keep_their_order() {
    const EMITTERS: usize = 4;
    const EACH: usize = 500;
    for capacity in [1, 3, 64] {
        let (emitter, chunks, _) = pair(capacity, WhenFull::Block);
        let mut next = [0; EMITTERS];
        thread::scope(|scope| {
            for name in 0..EMITTERS {
                let emitter = emitter.clone();
                scope.spawn(move || {
                    for chunk in 0..EACH {
                        emitter.emit_blocking((name, chunk)).unwrap();
                    }
                });
            }
            drop(emitter);
            for (name, chunk) in chunks {
                assert_eq!(chunk, next[name]);
                next[name] += 1;
            }
        });
        assert_eq!(next, [EACH; EMITTERS]);
    }
}

#[test]
fn what_is_not_delivered_is_counted_as_dropped() {
    const EACH: u64 = 1000;
    let (emitter, mut chunks, _) = pair(4, WhenFull::DropOldest);
    let taken = thread::scope(|scope| {
        for _ in 0..4 {
            let emitter = emitter.clone();
            scope.spawn(move || (0..EACH).for_each(|chunk| emitter.emit_blocking(chunk).unwrap()));
        }
        drop(emitter);
        chunks.by_ref().count()
    });
    assert_eq!(taken as u64 + chunks.dropped(), 4 * EACH);
}

#[test]
fn every_accepted_chunk_is_dropped_once_however_the_ends_go() {
    for order in 0..6 {
        for cancelled in [false, true] {
            let chunk = Arc::new(());
            let (emitter, mut chunks, token) = pair(3, WhenFull::Block);
            let clone = emitter.clone();
            for _ in 0..3 {
                emitter.try_emit(chunk.clone()).unwrap();
            }
            let refused = emitter.try_emit(chunk.clone()).unwrap_err();
            assert!(Arc::ptr_eq(&refused.into_chunk(), &chunk));
            if cancelled {
                token.cancel();
            }
            assert!(chunks.next().is_some());
            assert_eq!(Arc::strong_count(&chunk), 3);
            let mut ends: [Option<Box<dyn std::any::Any>>; 3] =
                [Some(Box::new(emitter)), Some(Box::new(clone)), Some(Box::new(chunks))];
            for index in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]][order] {
                ends[index] = None;
                // Chunks go with the receiver, even while emitters live.
                assert_eq!(Arc::strong_count(&chunk), if ends[2].is_some() { 3 } else { 1 });
            }
        }
    }
}

#[test]
fn a_tool_that_panics_ends_its_chunks() {
    let (emitter, chunks, _) = pair(8, WhenFull::Block);
    let tool = thread::spawn(move || {
        emitter.emit_blocking(1).unwrap();
        panic!("a deliberate panic");
    });
    assert_eq!(chunks.collect::<Vec<_>>(), [1]);
    assert!(tool.join().is_err());
}

#[test]
fn threads_that_sleep_are_let_go_by_either_end() {
    for round in 0..60 {
        let (emitter, mut chunks, token) = pair(1, WhenFull::Block);
        emitter.try_emit(0).unwrap();
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| while emitter.emit_blocking(1).is_ok() {});
            }
            scope.spawn(|| match round % 3 {
                0 => token.cancel(),
                1 => emitter.close(),
                _ => {
                    chunks.next();
                    chunks.close();
                }
            });
        });
        assert!(emitter.is_closed());
        assert!(chunks.count() <= 1);
    }
}

#[test]
fn capacities_are_brought_into_range() {
    for (asked, given) in [(0, 1), (1, 1), (5, 5), (usize::MAX, LARGEST)] {
        let (emitter, chunks, _) = pair(asked, WhenFull::Error);
        let accepted = (0..=LARGEST).take_while(|_| emitter.try_emit(()).is_ok()).count();
        assert_eq!((accepted, chunks.len(), chunks.is_empty()), (given, given, false));
        assert_eq!(crate::sync::park::block_on(emitter.emit(())), Err(EmitError::Full(())));
        assert_eq!(emitter.emit_blocking(()), Err(EmitError::Full(())));
    }
    let (emitter, chunks, token) = pair::<u8>(1, WhenFull::DropOldest);
    assert!(!emitter.is_closed() && !emitter.token().is_cancelled());
    token.cancel();
    assert!(emitter.is_closed() && emitter.token().is_cancelled());
    assert_eq!(
        format!("{emitter:?} {chunks:?}"),
        "Emitter { when_full: DropOldest, closed: true } Chunks { len: 0, closed: false }"
    );
}
