//! Alarms by a clock that is moved by hand; the machine's clock only for what it alone does.

use std::sync::atomic::AtomicUsize;
use std::task::Wake;

use proptest::prelude::*;

use super::*;
use crate::sync::park::block_on;

const SECOND: Duration = Duration::from_secs(1);

#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn poll(sleep: &mut Sleep, waker: &Waker) -> Poll<()> {
    Pin::new(sleep).poll(&mut Context::from_waker(waker))
}

proptest! {
    /// Sleepers that come, are polled again and go, while time moves: each is woken once, when its moment has come.
    #[test]
    fn who_sleeps_is_woken_at_the_moment_and_once(
        steps in prop::collection::vec((0u8..4, 0u64..12), 1..60),
    ) {
        let clock = ManualClock::new();
        let mut sleepers: Vec<(Moment, Sleep, Arc<Count>)> = Vec::new();
        for (step, amount) in steps {
            match step {
                0 | 1 => {
                    let deadline = clock.now() + SECOND * amount as u32;
                    let (mut sleep, count) = (clock.sleep_until(deadline), Arc::new(Count::default()));
                    let ready = poll(&mut sleep, &Waker::from(count.clone())).is_ready();
                    prop_assert_eq!(ready, amount == 0);
                    if !ready {
                        sleepers.push((deadline, sleep, count));
                    }
                }
                2 => clock.advance(SECOND * (amount / 3) as u32),
                _ if sleepers.is_empty() => {}
                _ => drop(sleepers.swap_remove(amount as usize % sleepers.len())),
            }
            for (deadline, _, count) in &sleepers {
                prop_assert_eq!(count.0.load(Ordering::SeqCst), usize::from(*deadline <= clock.now()));
            }
            let asleep = sleepers.iter().map(|(deadline, ..)| *deadline).filter(|&deadline| deadline > clock.now());
            prop_assert_eq!(clock.next_alarm(), asleep.min());
        }
        for (deadline, mut sleep, _) in sleepers {
            prop_assert_eq!(poll(&mut sleep, Waker::noop()).is_ready(), deadline <= clock.now());
        }
        prop_assert_eq!(clock.next_alarm(), None);
    }
}

#[test]
fn only_the_last_waker_is_woken() {
    let clock = ManualClock::new();
    let mut sleep = clock.sleep(SECOND);
    let (old, new) = (Arc::new(Count::default()), Arc::new(Count::default()));
    assert!(poll(&mut sleep, &Waker::from(old.clone())).is_pending());
    assert!(poll(&mut sleep, &Waker::from(new.clone())).is_pending());
    // The old waker is let go at once.
    assert_eq!((Arc::strong_count(&old), Arc::strong_count(&new)), (1, 2));
    clock.advance(SECOND);
    assert_eq!((old.0.load(Ordering::SeqCst), new.0.load(Ordering::SeqCst)), (0, 1));
    assert!(poll(&mut sleep, Waker::noop()).is_ready());
}

#[test]
fn never_comes_never_and_the_end_of_time_is_survived() {
    let clock = ManualClock::at(Moment::from_nanos(u64::MAX - 1));
    let mut sleep = clock.sleep(Duration::MAX);
    assert!(poll(&mut sleep, Waker::noop()).is_pending());
    assert_eq!((clock.next_alarm(), format!("{sleep:?}")), (None, "Sleep(never)".into()));
    clock.advance(Duration::MAX);
    assert_eq!(clock.now(), Moment::FAR);
    clock.advance(SECOND);
    assert!(poll(&mut sleep, Waker::noop()).is_pending());
    assert_eq!(format!("{clock:?} {:?}", Moment::from_nanos(1500)), "ManualClock(never) +1.5µs");
}

#[test]
fn a_waker_may_use_the_clock_that_wakes_it() {
    struct Again(ManualClock, Mutex<Sleep>);
    impl Wake for Again {
        fn wake(self: Arc<Self>) {
            let waker = Waker::from(self.clone());
            let mut sleep = self.1.lock().unwrap_or_else(PoisonError::into_inner);
            *sleep = self.0.sleep(SECOND);
            assert!(poll(&mut sleep, &waker).is_pending());
        }
    }
    let clock = ManualClock::new();
    let again = Arc::new(Again(clock.clone(), Mutex::new(Sleep::never())));
    again.clone().wake();
    for second in 1..5 {
        assert_eq!(clock.next_alarm(), Some(Moment::ORIGIN + SECOND * second));
        clock.advance(SECOND);
    }
    // The sleeper and its waker hold each other.
    *again.1.lock().unwrap() = Sleep::never();
    assert_eq!(clock.next_alarm(), None);
}

#[test]
fn the_machine_s_timer_wakes_many_and_an_earlier_one_first() {
    let far = SystemClock.sleep(SECOND * 3600);
    let mut far = std::pin::pin!(far);
    assert!(far.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    // The thread waits for an hour now, and must be told.
    thread::scope(|scope| {
        for thread in 0..4u64 {
            scope.spawn(move || {
                let deadline = SystemClock.now() + Duration::from_micros(100 * thread);
                block_on(SystemClock.sleep_until(deadline));
                assert!(SystemClock.now() >= deadline);
            });
        }
    });
    assert!(far.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    let moment = SystemClock.now();
    assert!(SystemClock.instant(moment).is_some_and(|instant| instant <= std::time::Instant::now()));
    // Erased and shared timers are timers.
    let timer: Arc<dyn Timer> = Arc::new(SystemClock);
    block_on(timer.sleep(Duration::ZERO));
    block_on(Sleep::new(async {}));
}

#[test]
fn a_waker_that_panics_leaves_the_machine_s_timer_alive() {
    struct Bad(Mutex<Option<std::sync::mpsc::Sender<()>>>);
    impl Wake for Bad {
        fn wake(self: Arc<Self>) {
            drop(self.0.lock().unwrap_or_else(PoisonError::into_inner).take());
            panic!("a deliberate panic");
        }
    }
    let (sender, woken) = std::sync::mpsc::channel();
    let mut sleep = SystemClock.sleep(Duration::from_micros(100));
    let waker = Waker::from(Arc::new(Bad(Mutex::new(Some(sender)))));
    if poll(&mut sleep, &waker).is_pending() {
        assert!(woken.recv().is_err());
    }
    block_on(SystemClock.sleep(Duration::from_micros(100)));
}
