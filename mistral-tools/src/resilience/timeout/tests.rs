//! Limits by a clock that is moved by hand.

use std::cell::Cell;
use std::rc::Rc;
use std::thread;

use super::*;
use crate::{
    sync::park::block_on,
    time::{Clock, SystemClock, timer::ManualClock},
};

const SECOND: Duration = Duration::from_secs(1);

/// Says when it is dropped.
struct Guard(Rc<Cell<bool>>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.set(true);
    }
}

#[test]
fn a_future_is_dropped_at_its_deadline() {
    let clock = ManualClock::new();
    let dropped = Rc::new(Cell::new(false));
    let guard = Guard(dropped.clone());
    let slow = async move {
        let _guard = guard;
        std::future::pending::<()>().await;
    };
    let mut timed = pin!(timeout_at(&clock, Moment::ORIGIN + SECOND, slow));
    let mut context = Context::from_waker(Waker::noop());
    assert!(timed.as_mut().poll(&mut context).is_pending());
    assert_eq!(clock.next_alarm(), Some(Moment::ORIGIN + SECOND));
    clock.advance(SECOND - Duration::from_nanos(1));
    assert!(timed.as_mut().poll(&mut context).is_pending() && !dropped.get());
    clock.advance(Duration::from_nanos(1));
    assert_eq!(timed.as_mut().poll(&mut context), Poll::Ready(Err(Elapsed)));
    assert!(dropped.get());
    assert_eq!(clock.next_alarm(), None);
}

#[test]
fn what_is_ready_wins_and_leaves_no_alarm() {
    let clock = ManualClock::new();
    assert_eq!(block_on(timeout_at(&clock, Moment::ORIGIN, async { 5 })), Ok(5));
    let later = Moment::ORIGIN + SECOND;
    let other = clock.clone();
    let slow = async move {
        other.sleep(SECOND / 2).await;
        6
    };
    let moving = clock.clone();
    let mover = thread::spawn(move || {
        while moving.next_alarm() != Some(Moment::ORIGIN + SECOND / 2) {
            thread::yield_now();
        }
        moving.advance(SECOND / 2);
    });
    assert_eq!(block_on(timeout_at(&clock, later, slow)), Ok(6));
    mover.join().unwrap();
    assert_eq!(clock.next_alarm(), None);
    // A timeout without a limit needs no alarm.
    assert_eq!(block_on(timeout_at(&clock, Moment::FAR, async { 7 })), Ok(7));
}

#[test]
fn a_function_is_told_at_its_deadline_and_its_late_result_discarded() {
    let clock = ManualClock::new();
    let deadline = Moment::ORIGIN + SECOND;
    let outer = CancellationToken::new();
    let late = run_until(clock.clone(), deadline, &outer, |token| {
        assert!(!token.is_cancelled());
        clock.advance(SECOND);
        assert!(token.is_cancelled());
        "late"
    });
    assert_eq!(late, Err(Elapsed));
    assert!(!outer.is_cancelled());

    let in_time = run_until(clock.clone(), clock.now() + SECOND, &outer, |token| {
        outer.cancel();
        token.is_cancelled()
    });
    assert_eq!(in_time, Ok(true));
    assert_eq!(clock.next_alarm(), None);
    // A deadline that has passed is seen before the function begins.
    assert_eq!(
        run_until(clock.clone(), clock.now(), &CancellationToken::new(), |token| assert!(token.is_cancelled())),
        Err(Elapsed)
    );
}

#[test]
fn a_function_that_panics_leaves_no_alarm() {
    let clock = ManualClock::new();
    let run = std::panic::AssertUnwindSafe(|| {
        run_until(clock.clone(), Moment::ORIGIN + SECOND, &CancellationToken::new(), |_| panic!("a deliberate panic"))
    });
    assert!(std::panic::catch_unwind(run).is_err());
    assert_eq!(clock.next_alarm(), None);
}

/// A timer that wakes its sleepers at once, long before their time, as no good timer does.
#[derive(Clone)]
struct Hasty(ManualClock);

impl Clock for Hasty {
    fn now(&self) -> Moment {
        self.0.now()
    }
}

impl Timer for Hasty {
    fn sleep_until(&self, deadline: Moment) -> Sleep {
        let mut inner = self.0.sleep_until(deadline);
        Sleep::new(std::future::poll_fn(move |context| {
            context.waker().wake_by_ref();
            Pin::new(&mut inner).poll(context)
        }))
    }
}

#[test]
fn a_timer_that_wakes_too_early_cancels_nothing_too_early() {
    let clock = ManualClock::new();
    let token = CancellationToken::new();
    let guard = CancelAt::new(Hasty(clock.clone()), Moment::ORIGIN + SECOND, token.clone());
    assert!(!token.is_cancelled());
    clock.advance(SECOND);
    assert!(token.is_cancelled());
    drop(guard);
}

#[test]
fn the_machine_s_timer_cancels_from_its_own_thread() {
    let token = CancellationToken::new();
    let kept = CancellationToken::new();
    let far = CancelAt::new(SystemClock, SystemClock.now() + SECOND * 3600, kept.clone());
    let _guard = CancelAt::new(SystemClock, SystemClock.now() + Duration::from_millis(1), token.clone());
    block_on(token.cancelled());
    drop(far);
    assert!(!kept.is_cancelled());
}
